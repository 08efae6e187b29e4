"""Compare two models on the same inputs, output by output.

Inputs and outputs are paired by name. If the names differ and both models have as many, they are
paired by order, and a note says so. The first model is the truth. Since it has no oracle, an error
may be ULPS_WITHOUT_ORACLE * u * s (judge/tolerance.py), unless the user sets a tolerance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.inference.rows import run_rows
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.spec import Array, TensorSpec
from rnn_deploy.verifying.judge.compare import Comparison, ComparisonContext, TensorPair, compare
from rnn_deploy.verifying.judge.tolerance import Budget, UserTolerance, allowed_error


@dataclass(frozen=True)
class NamedRunner:
    """A model to compare: what to call it, and how to run it."""

    name: str
    runner: Runner


@dataclass(frozen=True)
class PairComparison:
    """Two models compared. notes: how inputs and outputs were paired, and NaN of the first."""

    first: str
    second: str
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether something was compared, and everything is within its budget."""
        return bool(self.comparisons) and all(c.passed for c in self.comparisons)

    @property
    def verdict(self) -> str:
        """The outcome in one line."""
        failed = sum(not comparison.passed for comparison in self.comparisons)
        if self.passed:
            return f"equal: {len(self.comparisons)} outputs, all within their budgets"
        return f"DIFFERENT: {failed} of {len(self.comparisons)} outputs outside their budgets"


def compare_models(
    first: NamedRunner, second: NamedRunner, feeds: Mapping[str, Array], tolerance: UserTolerance
) -> PairComparison:
    """Run both models on `feeds`, named as the inputs of either, and compare the outputs.

    Raises InputError if inputs or outputs cannot be paired, or a tolerance names no output.
    """
    a, b = first.runner.entry, second.runner.entry
    models = (first.name, second.name)
    inputs, input_notes = _pairs(a.all_inputs, b.all_inputs, "inputs", models)
    outputs, output_notes = _pairs(a.all_outputs, b.all_outputs, "outputs", models)
    tolerance.check_names(outputs)
    first_feeds = _first_names(feeds, inputs)
    second_feeds = {inputs[name]: value for name, value in first_feeds.items()}
    truth = _run(first.runner, first_feeds)
    actual = _run(second.runner, second_feeds)
    comparisons = []
    for name, other in outputs.items():
        atol, rtol = tolerance.for_tensor(name) or (allowed_error(truth[name], None), 0.0)
        context = ComparisonContext(second.name, "compare", "inputs", name, "output")
        pair = TensorPair(actual[other], truth[name])
        comparisons.append(compare(pair, context, Budget(atol, rtol=rtol)))
    nan_notes = [
        f"{first.name} returns NaN or infinity in '{name}'"
        for name in outputs
        if truth[name].dtype.kind == "f" and not np.isfinite(truth[name]).all()
    ]
    notes = (*input_notes, *output_notes, *nan_notes)
    return PairComparison(*models, tuple(comparisons), notes)


def _run(runner: Runner, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Run all sequences; a batch that the model fixes is looped over."""
    results = run_rows(runner.entry, feeds, runner.run)
    return {name: np.asarray(value) for name, value in results.items()}


def _pairs(
    first: Sequence[TensorSpec], second: Sequence[TensorSpec], kind: str, models: tuple[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Return the second model's names by the first's, and a note if they are paired by order."""
    ours, theirs = [t.name for t in first], [t.name for t in second]
    if set(ours) == set(theirs):
        return {name: name for name in ours}, []
    if len(ours) == len(theirs):
        pairs = dict(zip(ours, theirs, strict=True))
        listed = ", ".join(f"{a} with {b}" for a, b in pairs.items())
        return pairs, [f"{kind} have different names, so they are paired by order: {listed}"]
    raise InputError(
        "E-VERIFY-UNPAIRED",
        f"the {kind} of the two models cannot be paired: {models[0]} has {', '.join(ours)};"
        f" {models[1]} has {', '.join(theirs)}; compare models with the same number of {kind}",
    )


def _first_names(feeds: Mapping[str, Array], pairs: Mapping[str, str]) -> dict[str, Array]:
    """Return feeds with the names of either model under the first model's names."""
    if set(feeds) <= set(pairs):
        return dict(feeds)
    names = {theirs: ours for ours, theirs in pairs.items()}
    unknown = [name for name in feeds if name not in names]
    if unknown:
        raise InputError(
            "E-INPUT-UNKNOWN",
            f"there is no input {', '.join(unknown)}; the model's inputs are {', '.join(pairs)}",
        )
    return {names[name]: value for name, value in feeds.items()}
