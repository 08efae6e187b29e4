"""The highest possible speed of a model's recurrent layers, measured in the contenders' rounds.

product   NumPy's matrix product with as many multiplications as the recurrent products of all
          steps; the steps depend on one another, so they cannot be faster than one product
memory    reading as many bytes as the recurrent weights of every step

The larger of the two times is the limit. The rest of the model (input products, other layers) takes
more time, so no contender reaches the limit, and half of its speed is good.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from rnn_deploy.bundle.manifest import LoweringChoice
from rnn_deploy.numerics.layouts import GATES
from rnn_deploy.perf.bench.measure import CallLatency
from rnn_deploy.spec.shapes import Shape

READ = 64 * 1024  # floats: about the size of weights that stay in a core's own cache
_PRODUCT, _MEMORY = "limit: product of {}", "limit: memory"


@dataclass(frozen=True)
class SpeedLimits:
    """The limits of a model at a shape. sizes: the gates and units of each recurrent layer."""

    sizes: tuple[tuple[int, int], ...]
    shape: Shape

    def calls(self) -> dict[str, Callable[[], object]]:
        """Return the calls to measure beside the contenders, by name."""
        rows = self.shape.batch * self.shape.time
        floats = np.ones(READ, np.float32)
        calls: dict[str, Callable[[], object]] = {_MEMORY: partial(np.dot, floats, floats)}
        for gates, units in self.sizes:
            state, weights = (np.ones(size, np.float32) for size in
                              ((rows, units), (units, gates * units)))  # fmt: skip
            calls[_PRODUCT.format((gates, units))] = partial(np.matmul, state, weights)
        return calls

    def share(self, timings: Mapping[str, CallLatency], name: str) -> float:
        """Return the limit's share of the time of the contender `name`, from their least times.

        A busy machine disturbs a product on all cores most, so medians would be wrong.
        """
        product = sum(timings[_PRODUCT.format(size)].min_us for size in self.sizes)
        weights = sum(gates * units**2 for gates, units in self.sizes)
        memory = timings[_MEMORY].min_us * self.shape.time * weights / READ
        return max(product, memory) / timings[name].min_us


def limits_of(choices: Sequence[LoweringChoice], shape: Shape) -> SpeedLimits | None:
    """Return the limits of layers that run over the steps of a shape.

    None if there are no layers, or cells other than Keras' own.
    """
    if not choices or any(choice.cell not in GATES for choice in choices):
        return None
    return SpeedLimits(tuple((GATES[choice.cell], choice.units) for choice in choices), shape)
