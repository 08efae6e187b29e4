"""Long inputs from a seed, the same on every machine, so that golden vectors need not store them.

NumPy does not promise that its generators stay the same from version to version. Here each value
is a hash of the seed and of its place (splitmix64, Steele et al. 2014). The 24 leading bits make
an exact float32: uniform over [-sqrt 3, sqrt 3), mean 0, variance 1.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnn_deploy.bundle.sizes import refuse_larger
from rnn_deploy.spec import Array

WORKING_BYTES = 24  # for each value while it is drawn
_SPREAD = np.float32(math.sqrt(3.0))


@dataclass(frozen=True)
class SeededInput:
    """An input that is drawn: its seed, shape and dtype; `below` for token ids."""

    seed: int
    shape: tuple[int, ...]
    dtype: str
    below: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for invalid values, InputError if more memory is needed than allowed."""
        dtype = np.dtype(self.dtype)
        drawable = dtype.kind in "fiub" and dtype.name == self.dtype
        below = self.below is None or 0 < self.below < 2**63
        if not (drawable and below and 0 <= self.seed < 2**32 and min(self.shape, default=0) >= 0):
            raise ValueError(f"an input cannot be drawn as {str(self)[:200]}")
        refuse_larger(WORKING_BYTES * math.prod(self.shape), "an input that is drawn from a seed")

    def values(self) -> Array:
        """Return the input itself."""
        bits = _hashed(self.seed, math.prod(self.shape)).reshape(self.shape)
        if self.below is not None:
            return (bits % np.uint64(self.below)).astype(self.dtype)
        if self.dtype == "bool":
            return (bits & np.uint64(1)).astype(bool)
        units = (bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)
        return (units * _SPREAD).astype(self.dtype)


def _hashed(seed: int, count: int) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z = (np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed << 32)) * np.uint64(
            0x9E3779B97F4A7C15
        )
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))
