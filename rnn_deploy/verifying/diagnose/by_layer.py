"""An entry point on a runtime compared with the original model layer by layer.

    artifact --every layer's values as further outputs--> run --> each beside the layer's

Where several of a layer's values have its output's shape (an LSTM's h and c), the nearest is taken.
One that bears another layer's name shows that the layer is right, never that it is wrong. A TFLite
converter may fold a layer into the next, so there nothing is called wrong before outputs that are
right.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rnn_deploy.bundle import Bundle
from rnn_deploy.runtimes.base import RunOptions, Runtime
from rnn_deploy.spec import Array
from rnn_deploy.verifying.diagnose.explain import explained_by_output
from rnn_deploy.verifying.diagnose.inner import telling_inner_values
from rnn_deploy.verifying.diagnose.original_model import Feeds, LayerTruth, OriginalModel
from rnn_deploy.verifying.judge.compare import Comparison, compare, max_abs_error
from rnn_deploy.verifying.judge.tolerance import budget
from rnn_deploy.verifying.report.words import number

FOLDS = ("tflite",)  # formats whose converter makes one operator of several layers


@dataclass(frozen=True, eq=False)
class LayerComparison:
    """One layer: what it gave, compared; None where no value of the graph is its output."""

    layer: str
    comparison: Comparison | None = None
    found: Array | None = None

    @property
    def wrong(self) -> bool:
        """Whether it was seen to differ."""
        return self.comparison is not None and not self.comparison.passed


@dataclass(frozen=True, eq=False)
class LayerReport:
    """Every layer of one entry point on a runtime, in the order of the calls.

    explained: what fault the first that differs seems to have, empty where none is recognised.
    """

    compared: tuple[LayerComparison, ...]
    explained: str = ""

    @property
    def first_wrong(self) -> LayerComparison | None:
        """The first layer that differs."""
        return next((each for each in self.compared if each.wrong), None)

    @property
    def where(self) -> str:
        """The first layer that differs, in words; empty if none does."""
        first = self.first_wrong
        if first is None or first.comparison is None:
            return ""
        error, allowed = number(first.comparison.max_abs), number(first.comparison.budget)
        return (
            f"layer by layer: '{first.layer}' is the first whose output differs, by {error} against"
            f" a budget of {allowed}"
        )

    @property
    def said(self) -> str:
        """The same, and what fault it seems to have."""
        return "; ".join(filter(None, (self.where, self.explained)))


def by_layer(
    bundle: Bundle,
    runtime: Runtime,
    options: RunOptions,
    feeds: Sequence[Feeds],
    original: OriginalModel,
) -> LayerReport:
    """Every layer of the entry point `options.entry` on the first of `feeds`.

    All of them are tried to explain the first layer that differs. InputError where there is no
    artifact that can be opened up.
    """
    runs = []
    for given in feeds:
        truths = original.layers(given)
        runs.append(_compared(bundle, runtime, options, given, truths))
    said = (_explained(original, *each) for each in zip(runs, feeds, strict=True))
    return LayerReport(runs[0], next(filter(None, said), ""))


def _explained(original: OriginalModel, layers: Sequence[LayerComparison], feeds: Feeds) -> str:
    wrong = next((each for each in layers if each.wrong), None)
    if wrong is None or wrong.comparison is None or wrong.found is None:
        return ""
    run = next((run for run in original.watched(feeds) if run.name == wrong.layer), None)
    return "" if run is None else explained_by_output(run, wrong.found, wrong.comparison.budget)


def _compared(
    bundle: Bundle,
    runtime: Runtime,
    options: RunOptions,
    feeds: Feeds,
    truths: Sequence[LayerTruth],
) -> tuple[LayerComparison, ...]:
    names = [truth.layer for truth in truths]
    with telling_inner_values(bundle, runtime.format, options.entry, names) as (telling, inner):
        runner = runtime.load(telling, options)
        try:
            values = {name: value.copy() for name, value in runner.run(feeds).items()}
        finally:
            runner.close()
    outputs = [tensor.name for tensor in bundle.manifest.entry(options.entry).outputs]
    compared = tuple(_beside(truth, values, inner, runtime.name) for truth in truths)
    if runtime.format in FOLDS and all(_is_right(values[name], truths) for name in outputs):
        return tuple(LayerComparison(c.layer) if c.wrong else c for c in compared)
    return compared


def _beside(
    truth: LayerTruth, values: Mapping[str, Array], inner: Mapping[str, list[str]], runtime: str
) -> LayerComparison:
    own = _nearest([values[name] for name in inner.get(truth.layer, [])], truth, runtime)
    if own is not None and not own.wrong:
        return own
    anyone = _nearest(values.values(), truth, runtime)
    if anyone is not None and not anyone.wrong:
        return anyone
    return own or LayerComparison(truth.layer)


def _nearest(values: Iterable[Array], truth: LayerTruth, runtime: str) -> LayerComparison | None:
    fitting = _fitting(values, truth)
    if not fitting:
        return None
    nearest = min(fitting, key=lambda value: max_abs_error(value, truth.true))
    return LayerComparison(truth.layer, _judged(nearest, truth, runtime), nearest)


def _fitting(values: Iterable[Array], truth: LayerTruth) -> list[Array]:
    """Those of the output's shape; stacked, time may come first."""
    values = list(values)
    turned = [value.swapaxes(0, 1) for value in values if value.ndim > 2]
    return [value for value in (*values, *turned) if value.shape == truth.true.shape]


def _is_right(value: Array, truths: Sequence[LayerTruth]) -> bool:
    """Whether an output is what some layer gives."""
    fitting = (truth for truth in truths if truth.true.shape == value.shape)
    return any(_judged(value, truth, "").passed for truth in fitting)


def _judged(value: Array, truth: LayerTruth, runtime: str) -> Comparison:
    own = max_abs_error(truth.reference, truth.true)
    return compare(
        value,
        truth.true,
        runtime=runtime,
        check="by layer",
        case="",
        name=truth.layer,
        kind="output",
        budget=budget(truth.true, own),
        reference_error=own,
    )
