"""What a comparison compared, handed on while verification streams.

    verify --record(Observation)--> profiles (for plots), results (to judge again)

Nothing is kept here: whoever records decides what to keep.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.spec import Array, EntryPoint
from rnn_deploy.verifying.judge.checks import RUNNING
from rnn_deploy.verifying.judge.compare import Comparison


@dataclass(frozen=True, eq=False)
class Observation:
    """A comparison with its tensors.

    actual: the runtime's. truth: what it was judged against. reference: TensorFlow's own, None
    where it is not known. bound: what is allowed of each element, None where that is the budget.
    time_axis: the axis that runs over steps (of single steps side by side,
    the batch), None for a final state or a last output. steps: which steps stand on that axis, or
    the one step after which it was taken. allowed: budget and rtol of each element, where there is
    no bound.
    """

    comparison: Comparison
    actual: Array
    truth: Array
    reference: Array | None
    bound: Array | None
    time_axis: int | None
    steps: tuple[int, ...]
    allowed: tuple[float, float] = (0.0, 0.0)


Record = Callable[[Observation], None]


def nothing(observation: Observation) -> None:
    """Record nothing."""


def place_in_time(
    entries: Sequence[EntryPoint], name: str, case: GoldenCase, value: Array
) -> tuple[int | None, tuple[int, ...]]:
    """The axis over time of an output or state called `name`, and the steps that stand on it."""
    if case.check == RUNNING and value.ndim:  # states after each step
        return 0, tuple(range(value.shape[0]))
    if case.steps and value.ndim:  # single steps side by side in the batch
        rows = np.arange(value.shape[0]) * case.steps // max(1, value.shape[0])
        return 0, tuple(int(step) for step in rows)
    entry = next(e for e in entries if any(t.name == name for t in e.all_outputs))
    sizes: dict[str, int] = {}
    for tensor in entry.inputs:
        for dim, size in zip(tensor.shape[1:2], case.feeds[tensor.name].shape[1:2], strict=True):
            sizes.setdefault(str(dim), size)
    spec = next(tensor for tensor in entry.all_outputs if tensor.name == name)
    dim = str(spec.shape[1]) if len(spec.shape) > 1 else ""
    is_output = any(tensor.name == name for tensor in entry.outputs)
    over_time = is_output and dim in sizes and (dim in entry.time_symbols or len(spec.shape) > 2)
    if over_time and value.ndim > 1:
        probed = case.probes if len(case.probes) == value.shape[1] else range(value.shape[1])
        return 1, tuple(probed)
    return None, (max(sizes.values(), default=1) - 1,)
