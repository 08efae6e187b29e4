"""Compare two models on the same inputs, output by output.

Inputs and outputs are paired by name. If the names differ and both models have the same number,
they are paired by order, with a note. The first model is the truth. Since it has no oracle, an
error may be ULPS_WITHOUT_ORACLE * u * s (judge/tolerance.py), unless the user sets a tolerance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.inference.rows import run_rows
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.spec import Array, TensorSpec
from rnn_deploy.verifying.judge.compare import Comparison, ComparisonContext, TensorPair, compare
from rnn_deploy.verifying.judge.distance import errors
from rnn_deploy.verifying.judge.tolerance import Budget, UserTolerance, allowed_error
from rnn_deploy.verifying.report.report import worst_of_each


@dataclass(frozen=True)
class NamedRunner:
    """A model to compare: what to call it, how to run it, and on which runtime."""

    name: str
    runner: Runner
    runtime: str = ""


@dataclass(frozen=True)
class OutputStatistics:
    """The distance of the second model's output from the first's, over all inputs.

    mean_error, root_mean_square, largest_error: of finite values. predictions: the number of places
    with a largest value along the last axis. agreement: the share of them whose largest value is at
    the same index. Both are None for an output that is not a classification.
    """

    output: str
    values: int
    mean_error: float
    root_mean_square: float
    largest_error: float
    predictions: int = 0
    agreement: float | None = None


@dataclass(frozen=True)
class PairComparison:
    """Two models compared.

    comparisons: of each output, the worst over all inputs. runtimes: of both models. notes: how
    inputs and outputs were paired, and NaN in the first model's outputs.
    """

    first: str
    second: str
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]
    statistics: tuple[OutputStatistics, ...] = ()
    runtimes: tuple[str, str] = ("", "")

    @property
    def passed(self) -> bool:
        """Return whether something was compared, and everything is within its budget."""
        return bool(self.comparisons) and all(c.passed for c in self.comparisons)

    @property
    def verdict(self) -> str:
        """The outcome in one line."""
        failed = sum(not comparison.passed for comparison in self.comparisons)
        if self.passed:
            return f"equal: {len(self.comparisons)} outputs, all within their budgets"
        return f"DIFFERENT: {failed} of {len(self.comparisons)} outputs outside their budgets"


def compare_models(
    first: NamedRunner,
    second: NamedRunner,
    inputs: Mapping[str, Mapping[str, Array]],
    tolerance: UserTolerance,
) -> PairComparison:
    """Run both models on inputs, named as the inputs of either, and compare the outputs.

    inputs: one or more sets of arrays, each with a name for the report.

    Raises InputError if inputs or outputs cannot be paired, or a tolerance is for no output.
    """
    a, b = first.runner.entry, second.runner.entry
    models = (first.name, second.name)
    names, input_notes = _pairs(a.all_inputs, b.all_inputs, "inputs", models)
    outputs, output_notes = _pairs(a.all_outputs, b.all_outputs, "outputs", models)
    tolerance.check_names(outputs)
    predictions = {tensor.name for tensor in a.outputs}  # states are not predictions
    compared: dict[str, list[tuple[Comparison, TensorPair]]] = {name: [] for name in outputs}
    for case, feeds in inputs.items():
        first_feeds = _first_names(feeds, names)
        truth = _run(first.runner, first_feeds)
        actual = _run(second.runner, {names[name]: value for name, value in first_feeds.items()})
        for name, other in outputs.items():
            atol, rtol = tolerance.for_tensor(name) or (allowed_error(truth[name], None), 0.0)
            context = ComparisonContext(second.name, "compare", case, name, "output")
            pair = TensorPair(actual[other], truth[name])
            compared[name].append((compare(pair, context, Budget(atol, rtol=rtol)), pair))
    nan_notes = [
        f"{first.name} returns NaN or infinity in '{name}'"
        for name, found in compared.items()
        if any(p.truth.dtype.kind == "f" and not np.isfinite(p.truth).all() for _, p in found)
    ]
    return PairComparison(
        *models,
        tuple(worst_of_each((c for found in compared.values() for c, _ in found), by=("name",))),
        (*input_notes, *output_notes, *nan_notes),
        tuple(
            _statistics(name, [pair for _, pair in found], predicts=name in predictions)
            for name, found in compared.items()
        ),
        (first.runtime, second.runtime),
    )


def _statistics(name: str, pairs: Sequence[TensorPair], *, predicts: bool) -> OutputStatistics:
    alike = [pair for pair in pairs if pair.actual.shape == pair.truth.shape]
    distances = [errors(pair.actual, pair.truth).ravel() for pair in alike]
    every = np.concatenate([*distances, np.zeros(0)])
    finite = every[np.isfinite(every)]
    predicted = [
        np.ravel(pair.actual.argmax(axis=-1) == pair.truth.argmax(axis=-1))
        for pair in alike
        if predicts
        and pair.truth.ndim > 1
        and pair.truth.shape[-1] > 1
        and pair.truth.dtype.kind == "f"
    ]
    same = np.concatenate([*predicted, np.zeros(0, bool)])
    return OutputStatistics(
        name,
        every.size,
        float(finite.mean()) if finite.size else 0.0,
        float(np.sqrt(np.mean(finite**2))) if finite.size else 0.0,
        float(every.max(initial=0.0)),
        same.size,
        float(same.mean()) if same.size else None,
    )


def _has_classes(value: Array) -> bool:
    return value.ndim > 1 and value.shape[-1] > 1


def _run(runner: Runner, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Run all sequences, in batches if the model fixes the batch."""
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
