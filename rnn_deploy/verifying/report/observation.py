"""One comparison with its tensors, as a verification passes it on while it runs.

verify --record(Observation)--> error_profiles (for plots), results (to judge again)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.spec import Array, EntryPoint
from rnn_deploy.verifying.judge.checks import RUNNING
from rnn_deploy.verifying.judge.compare import Comparison, TensorPair
from rnn_deploy.verifying.judge.tolerance import Budget


@dataclass(frozen=True, eq=False)
class Observation:
    """A comparison with its tensors.

    reference: TensorFlow's own value, None if unknown. time_axis: the axis over steps (the batch,
    if it has single steps side by side); None for a final state or a last output. steps: the steps
    on that axis, or the one step after which the tensor was computed. grouped: whether it
    represents a group of results, as the one nearest to its budget.
    """

    comparison: Comparison
    tensors: TensorPair
    budget: Budget
    reference: Array | None
    time_axis: int | None
    steps: tuple[int, ...]
    grouped: bool = False


Record = Callable[[Observation], None]


def record_nothing(observation: Observation) -> None:
    """Record nothing."""


def place_in_time(
    entries: Sequence[EntryPoint], name: str, case: GoldenCase, value: Array
) -> tuple[int | None, tuple[int, ...]]:
    """Return the time axis of an output or state, and the steps on it; see Observation."""
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
