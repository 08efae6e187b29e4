"""How the matrices of a model are stored: as float32, as half floats, or as 8-bit integers.

    float16        w = half * 2^e          one e for each matrix; its largest weight uses most bits
    int8-weights   w = integer * scale     one scale for each row, that is for each input

Sums stay float32. Halves that would be subnormal are 0: they are below 2^-28 of the largest weight.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnn_deploy.c.format import FLOAT16, INT8_WEIGHTS
from rnn_deploy.c.ir import Float
from rnn_deploy.errors import UnsupportedModelError

FLOAT32 = "float32"
TYPES = {"float32": "float", "uint16": "uint16_t", "int8": "int8_t"}
_TOP = 15  # the largest weight of a matrix becomes a half between 2^14 and 2^15
_BIAS = 112  # the difference between the exponents of float32 and of half floats
_LARGEST = 2.0**29  # the largest weight whose factor is a float32


@dataclass(frozen=True)
class StoredMatrix:
    """The numbers of a matrix as they are stored.

    factor: the factor of half floats, for `model_half`. scales: of each row of integers.
    """

    numbers: NDArray[np.generic]
    factor: float | None = None
    scales: Float | None = None

    @property
    def kind(self) -> str:
        """Return the end of the names of functions that read it."""
        if self.scales is not None:
            return "_int8"
        return "" if self.factor is None else "_half"

    def restored(self) -> Float:
        """Return the weights that the C code computes with."""
        if self.scales is not None:
            return self.numbers.astype(np.float32) * self.scales[:, None]
        if self.factor is None:
            return self.numbers.astype(np.float32)
        halves = self.numbers.view(np.float16).astype(np.float64)
        restored: Float = (halves * (self.factor / 2.0**_BIAS)).astype(np.float32)
        return restored


def stored(name: str, value: Float, storage: str) -> StoredMatrix:
    """Return a float32 matrix (rows, columns) as `storage` keeps it.

    name: for messages. Raises UnsupportedModelError for weights that are too large for half floats.
    """
    if storage == FLOAT16:
        if np.abs(value).max(initial=0.0) >= _LARGEST:
            raise UnsupportedModelError(
                "E-MODEL-WEIGHT-RANGE",
                f"{name}: a weight is above {_LARGEST:g}, too large for float16 in C; export with"
                f" --quantize {INT8_WEIGHTS}, or without --quantize",
            )
        return _as_halves(value)
    if storage == INT8_WEIGHTS:
        return _as_integers(value)
    return StoredMatrix(np.ascontiguousarray(value, np.float32))


def _as_halves(value: Float) -> StoredMatrix:
    largest = float(np.abs(value).max(initial=0.0))
    exponent = 0 if largest == 0 else int(np.frexp(largest)[1]) - _TOP
    halves = np.ldexp(value.astype(np.float64), -exponent).astype(np.float16)
    halves[np.abs(halves) < np.finfo(np.float16).smallest_normal] = 0
    return StoredMatrix(halves.view(np.uint16), factor=2.0 ** (_BIAS + exponent))


def _as_integers(value: Float) -> StoredMatrix:
    largest = np.abs(value).max(axis=1, initial=0.0)
    scales = (largest / 127).astype(np.float32)
    divisors = np.where(scales > 0, scales, 1).astype(np.float64)
    integers = np.clip(np.rint(value / divisors[:, None]), -127, 127)
    return StoredMatrix(integers.astype(np.int8), scales=scales)
