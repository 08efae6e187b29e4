"""Compare an entry point on a runtime with the original model, layer by layer.

    model file --every layer's values as extra outputs--> run --> compare with the layer's output

If several values of a layer have its output's shape (an LSTM's h and c), the nearest one counts.
A value of another layer can show that the layer is right, but not that it is wrong. The TFLite
converter may fold a layer into the next, so if all outputs are right, no TFLite layer is wrong.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rnn_deploy.bundle import Bundle
from rnn_deploy.runtimes.base import RunOptions, Runtime
from rnn_deploy.spec import Array
from rnn_deploy.verifying.diagnose.explain import explain_output
from rnn_deploy.verifying.diagnose.inner import bundle_with_inner_values, entry_point
from rnn_deploy.verifying.diagnose.original_model import Feeds, LayerTruth, OriginalModel
from rnn_deploy.verifying.judge.compare import (
    Comparison,
    ComparisonContext,
    TensorPair,
    compare,
)
from rnn_deploy.verifying.judge.distance import max_abs_error
from rnn_deploy.verifying.judge.tolerance import Budget, allowed_error
from rnn_deploy.verifying.report.text import number

NO_FAULT = "no known fault fits these values"
FOLDS = ("tflite",)  # their converter may merge layers into one operator


@dataclass(frozen=True, eq=False)
class LayerComparison:
    """The comparison of one layer's output; None if the graph does not have that output."""

    layer: str
    comparison: Comparison | None = None
    output: Array | None = None

    @property
    def wrong(self) -> bool:
        """Return whether the output was found and differs."""
        return self.comparison is not None and not self.comparison.passed


@dataclass(frozen=True, eq=False)
class LayerReport:
    """Every layer of one entry point on a runtime, in the order of the calls.

    fault: the likely fault of the first wrong layer, empty if none is recognised.
    """

    layers: tuple[LayerComparison, ...]
    fault: str = ""

    @property
    def first_wrong(self) -> LayerComparison | None:
        """The first layer that differs."""
        return next((each for each in self.layers if each.wrong), None)

    @property
    def first_difference(self) -> str:
        """The first layer that differs, as a sentence; empty if none does."""
        first = self.first_wrong
        if first is None or first.comparison is None:
            return ""
        error, allowed = number(first.comparison.max_abs), number(first.comparison.budget)
        return (
            f"layer by layer: '{first.layer}' is the first whose output differs, by {error} against"
            f" a budget of {allowed}"
        )

    @property
    def summary(self) -> str:
        """The first layer that differs and its fault; empty if none differs."""
        first = self.first_difference
        return f"{first}; {self.fault or NO_FAULT}" if first else ""


def by_layer(
    bundle: Bundle,
    runtime: Runtime,
    options: RunOptions,
    feeds: Sequence[Feeds],
    original: OriginalModel,
) -> LayerReport:
    """Compare every layer of the entry point `options.entry` on the first of `feeds`.

    All `feeds` are used to explain the first layer that differs. Raises InputError if the bundle
    has no model file whose inner values can be read.
    """
    runs = [_compare_layers(bundle, runtime, options, each, original) for each in feeds]
    faults = (_fault(original, *each) for each in zip(runs, feeds, strict=True))
    return LayerReport(runs[0], next(filter(None, faults), ""))


def _fault(original: OriginalModel, layers: Sequence[LayerComparison], feeds: Feeds) -> str:
    wrong = next((each for each in layers if each.wrong), None)
    if wrong is None or wrong.comparison is None or wrong.output is None:
        return ""
    run = next((run for run in original.recurrent_calls(feeds) if run.name == wrong.layer), None)
    return "" if run is None else explain_output(run, wrong.output, wrong.comparison.budget)


def _compare_layers(
    bundle: Bundle, runtime: Runtime, options: RunOptions, feeds: Feeds, original: OriginalModel
) -> tuple[LayerComparison, ...]:
    truths = original.layers(feeds)
    names = [truth.layer for truth in truths]
    with bundle_with_inner_values(bundle, runtime.format, options.entry, names) as (opened, inner):
        runner = runtime.load(opened, options)
        try:
            values = {name: value.copy() for name, value in runner.run(feeds).items()}
        finally:
            runner.close()
    outputs = [tensor.name for tensor in entry_point(bundle, options.entry).outputs]
    compared = tuple(_compare_layer(truth, values, inner, runtime.name) for truth in truths)
    if runtime.format in FOLDS and all(_is_right(values[name], truths) for name in outputs):
        return tuple(LayerComparison(c.layer) if c.wrong else c for c in compared)
    return compared


def _compare_layer(
    truth: LayerTruth, values: Mapping[str, Array], inner: Mapping[str, list[str]], runtime: str
) -> LayerComparison:
    own = _nearest([values[name] for name in inner.get(truth.layer, [])], truth, runtime)
    if own is not None and not own.wrong:
        return own
    any_value = _nearest(values.values(), truth, runtime)
    if any_value is not None and not any_value.wrong:
        return any_value
    return own or LayerComparison(truth.layer)


def _nearest(values: Iterable[Array], truth: LayerTruth, runtime: str) -> LayerComparison | None:
    fitting = _of_same_shape(values, truth)
    if not fitting:
        return None
    nearest = min(fitting, key=lambda value: max_abs_error(value, truth.true))
    return LayerComparison(truth.layer, _compare(nearest, truth, runtime), nearest)


def _of_same_shape(values: Iterable[Array], truth: LayerTruth) -> list[Array]:
    """Return the values that have the output's shape, also with time and batch exchanged."""
    values = list(values)
    turned = [value.swapaxes(0, 1) for value in values if value.ndim > 2]
    return [value for value in (*values, *turned) if value.shape == truth.true.shape]


def _is_right(value: Array, truths: Sequence[LayerTruth]) -> bool:
    """Return whether an output of the model equals the output of some layer."""
    fitting = (truth for truth in truths if truth.true.shape == value.shape)
    return any(_compare(value, truth, "").passed for truth in fitting)


def _compare(value: Array, truth: LayerTruth, runtime: str) -> Comparison:
    own = max_abs_error(truth.reference, truth.true)
    context = ComparisonContext(runtime, "by layer", "", truth.layer, "output")
    budget = Budget(allowed_error(truth.true, own), own)
    return compare(TensorPair(value, truth.true), context, budget)
