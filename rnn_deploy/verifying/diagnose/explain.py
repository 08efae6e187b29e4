"""Find the fault that explains the wrong values of a runtime.

    Finding (a layer)  --the layer's inputs in float64-->  suspects  --> the suspect that fits

This needs the layer's weights and inputs, so the Keras model must be available. A suspect fits if
it produces the runtime's values in every row, to within the budget or a thousandth of the error.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.errors import RnnDeployError
from rnn_deploy.numerics.cells import LayerRun, again
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.spec import Array
from rnn_deploy.verifying.diagnose.finding import Finding
from rnn_deploy.verifying.diagnose.one_weight import suspect_weights
from rnn_deploy.verifying.diagnose.original_model import OriginalModel
from rnn_deploy.verifying.diagnose.suspects import suspects
from rnn_deploy.verifying.judge.tolerance import Budgets

NEAR = 1e-3


def explain_finding(
    finding: Finding,
    runner: Runner,
    cases: Iterable[GoldenCase],
    original: OriginalModel,
    budgets: Budgets,
) -> str:
    """Return the fault in words, empty if none fits. runner: of the stream entry point."""
    for case in _ordered_cases(cases, runner):
        try:
            runs = {run.name: run for run in original.recurrent_calls(case.feeds)}
            results = runner.run(case.feeds)
        except RnnDeployError:
            continue
        true = runs.get(finding.layer)
        if true is None or len(true.layers) != 1:
            continue
        states = [s.next_name for s in runner.entry.states if s.layer == finding.layer]
        found = [results[name] for name in states]
        budget = max(budgets.budget_of(case, name).atol for name in states)
        fault = _fitting_fault(true, found, budget)
        if fault:
            return f"as if: {fault}"
    return ""


def _ordered_cases(cases: Iterable[GoldenCase], runner: Runner) -> Iterator[GoldenCase]:
    """Return usable cases: masks first, then single steps, whose states before are known."""
    fitting = [c for c in cases if runner.entry.name in c.entries and not c.probes]
    wanted = [c for c in fitting if c.check in ("", "teacher-forced", "masks")]
    yield from sorted(wanted, key=lambda c: (c.check != "masks", not c.steps))


def explain_output(true: LayerRun, output: Array, budget: float) -> str:
    """Return the fault of a call whose output is known, but not its states."""
    several = len(true.layers) != 1
    fault = "" if several else _fitting_fault(true, [output], budget, by_output=True)
    return fault and f"as if: {fault}"


def _fitting_fault(
    true: LayerRun, found: Sequence[Array], budget: float, *, by_output: bool = False
) -> str:
    right = (true.output,) if by_output else true.after
    off = _distance(found, right)
    if not budget < off < np.inf:
        return ""
    near = max(budget, NEAR * off)
    if not by_output and _distance(found, true.before) <= UNCHANGED * budget:
        return "the state is stale: the initial state is returned"
    if not by_output and _distance(found[::-1], right) <= near and len(found) > 1:
        return "the final states h and c are exchanged"
    digits = _digits(found)
    if digits:
        return f"it is computed in {digits} instead of float32"
    for name, suspect in suspects(true):
        if _distance(found, _result_of(suspect, by_output)) <= near:
            return name
    flat = [value.reshape(len(value), -1) for value in found]
    for weight, suspect in suspect_weights(true, flat, budget):
        if _distance(found, _result_of(suspect, by_output)) <= near:
            return weight.description
    return ""


def _result_of(suspect: LayerRun, by_output: bool) -> Sequence[Array]:
    """Return the final states of a suspect, or its output; both may overflow."""
    with np.errstate(all="ignore"):
        output, states = again(suspect)
        return (output,) if by_output else states


UNCHANGED = 1e-3  # of the budget: a stale state is exactly equal


def _digits(found: Sequence[Array]) -> str:
    """Return the coarser format that holds every value exactly, if there is one."""
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
