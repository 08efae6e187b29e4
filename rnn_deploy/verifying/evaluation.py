"""Evaluate a bundle on the user's own data: metrics of every runtime and way to run it.

    inputs, labels --evaluate--> an Evaluation for each runtime, model file, and whole or streamed

With integer labels an output is a classification: the class is the index of the largest value of
the last axis, or whether a single value is above 0.5. Other labels are the expected numbers.
Changed predictions are those that differ from the reference: Keras, or the first row.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import InputError, RnnDeployError, one_line
from rnn_deploy.inference.fitting import Fitted
from rnn_deploy.inference.rows import run_rows
from rnn_deploy.inference.stream import run_in_chunks
from rnn_deploy.runtimes.base import Runner, RunOptions, Runtime
from rnn_deploy.spec import SEQUENCE, STREAM, Array, chunks

Values = Mapping[str, Fitted]


@dataclass(frozen=True)
class Changed:
    """One prediction that differs from the reference's. place: row, and step over time."""

    output: str
    place: tuple[int, ...]
    before: float
    now: float


@dataclass(frozen=True)
class Metrics:
    """The metrics of one output: accuracy of classes, or errors of numbers.

    agreement: the share of predictions that equal the reference's. difference: the largest distance
    of a value from the reference's.
    """

    output: str
    count: int
    accuracy: float | None = None
    mean_error: float | None = None
    root_mean_square: float | None = None
    largest_error: float | None = None
    agreement: float | None = None
    difference: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """One way to run a model. way: "whole" or "streamed". failure: why it could not be run."""

    model: str
    runtime: str
    file: str
    way: str
    metrics: tuple[Metrics, ...] = ()
    changed: tuple[Changed, ...] = ()
    failure: str | None = None

    @property
    def name(self) -> str:
        """Return the runtime, file and way in words."""
        return ", ".join(part for part in (self.runtime, self.file, self.way) if part)


@dataclass(frozen=True)
class EvaluationData:
    """Inputs by name, labels by output, and the outputs of the reference if there is one."""

    feeds: Values
    labels: Mapping[str, Fitted] = field(default_factory=dict)
    reference: Values | None = None


def evaluate(
    bundle: Bundle, runtimes: Sequence[Runtime], data: EvaluationData, *, chunk: int = 1,
    progress: Callable[[str], None] = lambda step: None,
) -> Iterator[tuple[Evaluation, Values]]:  # fmt: skip
    """Yield the evaluation and the outputs of each runtime: whole, and streamed if that is exact.

    chunk: steps of one call of a stream. Raises InputError for labels that fit no output.
    """
    entries = {entry.name: entry for entry in bundle.manifest.entries}
    ways = [(SEQUENCE, "whole")]
    if STREAM in entries and entries[STREAM].chunked.ok:
        ways.append((STREAM, "streamed"))
    plans = [(runtime, entry, way) for runtime in runtimes for entry, way in ways]
    for number, (runtime, entry, way) in enumerate(plans, 1):
        progress(f"{runtime.name}, {way} ({number} of {len(plans)})")
        artifact = bundle.manifest.artifact(runtime.format, entry)
        file = artifact.path if artifact is not None else ""
        if artifact is None and runtime.format != "plan":
            continue
        found = Evaluation(str(bundle.root), runtime.name, file, way)
        try:
            runner = runtime.load(bundle, RunOptions(entry))
            try:
                outputs = _outputs(runner, data.feeds, way, chunk)
            finally:
                runner.close()
        except RnnDeployError as error:
            if isinstance(error, InputError):
                raise
            yield Evaluation(found.model, runtime.name, file, way, failure=one_line(error)), {}
            continue
        yield judged(found, outputs, data), outputs


def judged(found: Evaluation, outputs: Values, data: EvaluationData) -> Evaluation:
    """Return an evaluation with its metrics and changed predictions."""
    unknown = sorted(data.labels.keys() - outputs.keys())
    if unknown:
        raise InputError(
            "E-DATA-LABELS",
            f"--labels name the output '{unknown[0]}'; the model has {', '.join(outputs)}",
        )
    metrics, changed = [], []
    for name, value in outputs.items():
        label = data.labels.get(name)
        other = None if data.reference is None else data.reference[name]
        classes = _is_classification(label, value)
        metric, moved = _metrics(name, value, label, other, classes=classes)
        metrics.append(metric)
        changed += moved
    return Evaluation(
        found.model, found.runtime, found.file, found.way, tuple(metrics), tuple(changed)
    )


def _outputs(runner: Runner, feeds: Values, way: str, chunk: int) -> dict[str, Fitted]:
    def streamed(part: Mapping[str, Array]) -> Mapping[str, Array]:
        steps = chunks.length_of(runner.entry, part)
        return run_in_chunks(runner, part, chunks.equal_lengths(steps, chunk))

    results = run_rows(runner.entry, feeds, runner.run if way == "whole" else streamed)
    return {tensor.name: results[tensor.name] for tensor in runner.entry.outputs}


def _is_classification(label: Fitted | None, value: Fitted) -> bool:
    """Return whether predictions are classes; without labels, whether the output may hold them."""
    if label is not None:
        parts = label if isinstance(label, list) else [label]
        return all(part.dtype.kind in "iub" for part in parts)
    return _first(value).ndim > 0 and _first(value).shape[-1] > 1


def _first(value: Fitted) -> Array:
    return np.asarray(value[0])


def _metrics(
    name: str, value: Fitted, label: Fitted | None, other: Fitted | None, *, classes: bool
) -> tuple[Metrics, list[Changed]]:
    rows = [np.asarray(row, np.float64) for row in value]
    found = [_predicted(row) for row in rows] if classes else rows
    facts: dict[str, float] = {}
    if label is not None:
        labels = _fitting(name, label, found)
        wanted = np.concatenate([np.ravel(row) for row in labels])
        given = np.concatenate([np.ravel(row) for row in found])
        if classes:
            facts["accuracy"] = float(np.mean(given == wanted))
        else:
            errors = np.abs(given - wanted)
            facts["mean_error"] = float(errors.mean())
            facts["root_mean_square"] = float(np.sqrt(np.mean(errors**2)))
            facts["largest_error"] = float(errors.max())
    changed: list[Changed] = []
    if other is not None:
        before = [np.asarray(row, np.float64) for row in other]
        facts["difference"] = max(
            float(np.max(np.abs(a - b), initial=0.0)) for a, b in zip(rows, before, strict=True)
        )
        if classes:
            past = [_predicted(row) for row in before]
            changed = list(_changes(name, past, found))
            facts["agreement"] = 1 - len(changed) / sum(row.size for row in found)
    return Metrics(name, sum(row.size for row in found), **facts), changed


def _predicted(row: Array) -> Array:
    """Return the classes of one sequence: the largest value, or a single one above 0.5."""
    if row.ndim == 0 or row.shape[-1] == 1:
        values: Array = np.asarray(np.reshape(row, row.shape[:-1]) > 0.5, np.int64)  # type: ignore[operator]
        return values
    return np.asarray(row.argmax(axis=-1))


def _changes(name: str, past: Sequence[Array], now: Sequence[Array]) -> Iterator[Changed]:
    for row, (a, b) in enumerate(zip(past, now, strict=True)):
        for index in np.argwhere(np.asarray(a != b)):
            place = tuple(int(i) for i in index)
            before, found = (float(np.asarray(each, np.float64)[place]) for each in (a, b))
            yield Changed(name, (row, *place), before, found)


def _fitting(name: str, label: Fitted, found: Sequence[Array]) -> list[Array]:
    """Return the labels of each sequence; raise InputError if there are more or fewer."""
    rows = [np.asarray(row) for row in label]
    if len(rows) != len(found):
        raise InputError(
            "E-DATA-LABELS",
            f"--labels: {len(rows)} for output '{name}', and {len(found)} sequences were run",
        )
    for number, (row, value) in enumerate(zip(rows, found, strict=True)):
        if row.size != value.size:
            raise InputError(
                "E-DATA-LABELS",
                f"--labels: expected {value.shape or 'one label'} for sequence {number} of output"
                f" '{name}', got {row.shape}",
            )
    return rows
