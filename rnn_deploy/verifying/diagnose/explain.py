"""What fault would give just the values that a runtime gave.

    Finding (a layer)  --what went into that layer, in float64-->  suspects  --> the one that fits

Needs the layer's weights and its own input, so the Keras model must be at hand. A suspect fits if
it gives all that the runtime gave, in every row, to within its budget or a thousandth of the error.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.errors import RnnDeployError
from rnn_deploy.numerics.cells import LayerRun, again
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.spec import Array
from rnn_deploy.verifying.diagnose.finding import Finding
from rnn_deploy.verifying.diagnose.one_weight import one_weight
from rnn_deploy.verifying.diagnose.original_model import OriginalModel
from rnn_deploy.verifying.diagnose.suspects import suspects
from rnn_deploy.verifying.judge.tolerance import Budgets

NEAR = 1e-3


def explained(
    finding: Finding,
    runner: Runner,
    cases: Iterable[GoldenCase],
    original: OriginalModel,
    tolerance: Budgets,
) -> str:
    """The fault in words, empty where none is recognised. runner: of the stream entry point."""
    for case in _telling(cases, runner):
        try:
            runs = {run.name: run for run in original.watched(case.feeds)}
            results = runner.run(case.feeds)
        except RnnDeployError:
            continue
        true = runs.get(finding.layer)
        if true is None or len(true.layers) != 1:
            continue
        states = [s.next_name for s in runner.entry.states if s.layer == finding.layer]
        found = [results[name] for name in states]
        budget = max(tolerance.of(case, name).budget for name in states)
        said = _fitting(true, found, budget)
        if said:
            return f"as if: {said}"
    return ""


def _telling(cases: Iterable[GoldenCase], runner: Runner) -> Iterator[GoldenCase]:
    """Masks first, where there are any; then single steps, whose states before are given."""
    fitting = [c for c in cases if runner.entry.name in c.entries and not c.probes]
    wanted = [c for c in fitting if c.check in ("", "teacher-forced", "masks")]
    yield from sorted(wanted, key=lambda c: (c.check != "masks", not c.steps))


def explained_by_output(true: LayerRun, output: Array, budget: float) -> str:
    """The same of a call whose output is known in place of its states."""
    said = _fitting(true, [output], budget, by_output=True) if len(true.layers) == 1 else ""
    return said and f"as if: {said}"


def _fitting(
    true: LayerRun, found: Sequence[Array], budget: float, *, by_output: bool = False
) -> str:
    right = (true.output,) if by_output else true.after
    off = _distance(found, right)
    if not budget < off < np.inf:
        return ""
    near = max(budget, NEAR * off)
    if not by_output and _distance(found, true.before) <= UNCHANGED * budget:
        return "the state is stale: what goes in comes out"
    if not by_output and _distance(found[::-1], right) <= near and len(found) > 1:
        return "the states h and c leave in each other's place"
    digits = _digits(found)
    if digits:
        return f"it is computed in {digits} in place of float32"
    for name, suspect in suspects(true):
        if _distance(found, _given(suspect, by_output)) <= near:
            return name
    flat = [value.reshape(len(value), -1) for value in found]
    for weight, suspect in one_weight(true, flat, budget):
        if _distance(found, _given(suspect, by_output)) <= near:
            return weight.said
    return ""


def _given(suspect: LayerRun, by_output: bool) -> Sequence[Array]:
    """The states that a suspect ends in, or its output; it may well overflow."""
    with np.errstate(all="ignore"):
        output, states = again(suspect)
        return (output,) if by_output else states


UNCHANGED = 1e-3  # of the budget: a state that is handed on is so to the last bit


def _digits(found: Sequence[Array]) -> str:
    """The coarser format that every value found fits in, if there is one."""
    values = np.concatenate([value.ravel() for value in found]).astype(np.float32)
    values = values[np.isfinite(values) & (values != 0)]
    if len(values) < 8:
        return ""
    if not np.any(values.view(np.uint32) & np.uint32(0xFFFF)):
        return "bfloat16"
    return "float16" if np.array_equal(values.astype(np.float16), values) else ""


def _distance(found: Sequence[Array], values: Sequence[Array]) -> float:
    worst = 0.0
    for a, b in zip(found, values, strict=True):
        if a.shape != b.shape:
            return float("inf")
        with np.errstate(invalid="ignore", over="ignore"):
            gap = np.abs(a.astype(np.float64) - b.astype(np.float64))
        worst = max(worst, float(np.nan_to_num(gap, nan=np.inf).max(initial=0.0)))
    return worst
