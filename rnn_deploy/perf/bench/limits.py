"""How fast the recurrent layers of a model could be: measured in the same rounds as the contenders.

product   a matrix product, NumPy's, of as many multiplications as the recurrent products of all
          steps: they depend on one another, so no form of them is faster than one product at once
memory    reading as much as every step reads of recurrent weights

The larger of the two is the limit. What is around the recurrences (the inputs' products, other
layers) comes on top, so a contender at the limit is impossible and a half of it is good.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from rnn_deploy.bundle.manifest import LoweringChoice
from rnn_deploy.numerics.layouts import GATES
from rnn_deploy.perf.bench.measure import CallLatency
from rnn_deploy.spec.shapes import Shape

READ = 64 * 1024  # floats, as large as weights that stay in a core's own cache
_PRODUCT, _MEMORY = "limit: product of {}", "limit: memory"


@dataclass(frozen=True)
class SpeedLimits:
    """The limits of a model at a shape. sizes: of each recurrent layer, its gates and units."""

    sizes: tuple[tuple[int, int], ...]
    shape: Shape

    def calls(self) -> dict[str, Callable[[], object]]:
        """What is to be measured beside the contenders, by name."""
        rows = self.shape.batch * self.shape.time
        floats = np.ones(READ, np.float32)
        calls: dict[str, Callable[[], object]] = {_MEMORY: partial(np.dot, floats, floats)}
        for gates, units in self.sizes:
            state, weights = (np.ones(size, np.float32) for size in
                              ((rows, units), (units, gates * units)))  # fmt: skip
            calls[_PRODUCT.format((gates, units))] = partial(np.matmul, state, weights)
        return calls

    def share(self, timings: Mapping[str, CallLatency], name: str) -> float:
        """The part of the time of the contender `name` that the limit would take: of least times.

        (A limit is what could be; on a busy machine a product on all cores is disturbed most.)
        """
        product = sum(timings[_PRODUCT.format(size)].min_us for size in self.sizes)
        weights = sum(gates * units**2 for gates, units in self.sizes)
        memory = timings[_MEMORY].min_us * self.shape.time * weights / READ
        return max(product, memory) / timings[name].min_us


def limits_of(choices: Sequence[LoweringChoice], shape: Shape) -> SpeedLimits | None:
    """The limits of layers at a shape; None where there are none, or other cells than Keras' own.

    A layer is taken to run over the steps of the shape.
    """
    if not choices or any(choice.cell not in GATES for choice in choices):
        return None
    return SpeedLimits(tuple((GATES[choice.cell], choice.units) for choice in choices), shape)
