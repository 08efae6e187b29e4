"""`rnn-deploy evaluate`: accuracy or errors of every runtime and model file on your own data."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np

from rnn_deploy.bundle import Bundle, npz, open_bundle
from rnn_deploy.bundle.attachments import attachments_of
from rnn_deploy.bundle.json_values import finite
from rnn_deploy.cli.arrays import read_inputs
from rnn_deploy.cli.console import data, progress, say, table
from rnn_deploy.cli.options import grouped, opening_options
from rnn_deploy.errors import InputError, RuntimeUnavailableError
from rnn_deploy.inference.fitting import Fitted, fitted
from rnn_deploy.inference.preprocessing import Preprocessing, raw_spec
from rnn_deploy.inference.tables import TableRules
from rnn_deploy.runtimes.base import Runtime, refuse_if_unavailable
from rnn_deploy.runtimes.registry import default_runtime, runtime_named, runtimes_for
from rnn_deploy.spec import SEQUENCE, Array
from rnn_deploy.spec.opening import Opening
from rnn_deploy.verifying.evaluation import (
    Changed,
    Evaluation,
    EvaluationData,
    Values,
    evaluate,
    judged,
)

MOST_CHANGES = 10  # changed predictions that are shown for each row; --json has all
COLUMNS = (
    *("model", "run", "output", ">accuracy", ">mean error", ">RMS error"),
    *(">same prediction", ">largest difference"),
)


@dataclass(frozen=True)
class EvaluateRequest:
    """The parameters of `evaluate`."""

    bundle: Path
    inputs: Path
    labels: Path | None
    model: Path | None
    also: tuple[Path, ...]
    runtime: tuple[str, ...]
    chunk: int
    as_json: bool


@click.command("evaluate")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--inputs",
    required=True,
    type=click.Path(path_type=Path),
    help="File with the inputs: .npz, .npy, .csv or .jsonl.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="The expected outputs: .npy, .npz by output name, or .txt with one label per line."
    " Integers and class names give accuracy, other numbers give errors.",
)
@click.option("--model", type=click.Path(path_type=Path), help="The Keras model, as the reference.")
@click.option(
    "--also",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Another bundle of the model, for instance a quantised one; may be repeated.",
)
@click.option("--runtime", multiple=True, help="Use this runtime.  [default: all available]")
@click.option(
    "--chunk",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Stream N steps at a time.",
)
@opening_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@grouped(EvaluateRequest, Opening)
def command(request: EvaluateRequest, opening: Opening) -> None:
    """Evaluate BUNDLE on your own data: every runtime and model file, whole and streamed.

    Lists the predictions that differ from the Keras model (--model), or without it, from the first
    row.
    """
    if request.model is None and opening != Opening():
        raise InputError(
            "E-OPTION-NEEDS",
            "--trust-source, --weights, --model-from and --custom apply only to a model; add"
            " --model MODEL",
        )
    bundles = [open_bundle(place) for place in (request.bundle, *request.also)]
    with progress(lines=True) as step:
        found = _evaluations(bundles, request, opening, step)
    if all(evaluation.failure is not None for evaluation in found):
        raise RuntimeUnavailableError(
            "E-RUNTIME-NONE", f"nothing could be run: {found[0].failure if found else 'no runtime'}"
        )
    if request.as_json:
        facts = [dataclasses.asdict(evaluation) for evaluation in found]
        data(json.dumps(finite({"evaluations": facts}), indent=1, allow_nan=False))
    else:
        _show(found, attachments_of(bundles[0]).labels)


def _evaluations(
    bundles: Sequence[Bundle],
    request: EvaluateRequest,
    opening: Opening,
    step: Callable[[str], None],
) -> list[Evaluation]:
    first = bundles[0]
    found: list[Evaluation] = []
    reference: Values | None = None
    labels: dict[str, Fitted] = {}
    if request.labels is not None:
        labels = _labels(request.labels, first)
    if request.model is not None:
        step("starting TensorFlow")
        feeds = _feeds(first, request.inputs)
        from rnn_deploy.cli.keras_model import keras_outputs

        reference = keras_outputs(first, request.model, feeds, opening=opening)
        own = Evaluation(str(request.model), "keras", "", "whole")
        found.append(judged(own, reference, EvaluationData({}, labels, reference)))
    for bundle in bundles:
        feeds = _feeds(bundle, request.inputs)
        runtimes = _runtimes(bundle, request.runtime)
        content = EvaluationData(feeds, labels)
        for evaluation, outputs in evaluate(
            bundle, runtimes, content, chunk=request.chunk, progress=step
        ):
            reference = reference or outputs or None
            if outputs:
                seen = replace(content, reference=reference)
                evaluation = judged(evaluation, outputs, seen)
            found.append(evaluation)
    return found


def _runtimes(bundle: Bundle, names: Sequence[str]) -> list[Runtime]:
    if not names:
        usable, skipped = runtimes_for(bundle)
        if not usable:
            default_runtime(bundle)  # raises the error with pip commands
        for each in skipped:
            say(f"not evaluated: {each.runtime}: {each.reason}")
        return usable
    runtimes = [runtime_named(name) for name in dict.fromkeys(names)]
    for runtime in runtimes:
        refuse_if_unavailable(runtime)
    return runtimes


def _feeds(bundle: Bundle, place: Path) -> dict[str, Fitted]:
    attached = attachments_of(bundle)
    preprocessing = Preprocessing(attached.steps)
    entry = bundle.manifest.entry(SEQUENCE)
    raw = replace(entry, inputs=tuple(raw_spec(t, preprocessing) for t in entry.inputs))
    read = read_inputs(place, raw, TableRules(), attached.features.get(entry.inputs[0].name, ()))
    return fitted(entry, preprocessing.apply(read.feeds))


def _labels(place: Path, bundle: Bundle) -> dict[str, Fitted]:
    """Return labels by output; class names become their numbers."""
    outputs = [tensor.name for tensor in bundle.manifest.entry(SEQUENCE).outputs]
    arrays = _label_arrays(place)
    if len(arrays) == 1 and len(outputs) == 1:
        arrays = {outputs[0]: next(iter(arrays.values()))}
    elif not set(arrays) <= set(outputs):
        raise InputError(
            "E-DATA-LABELS",
            f"{place}: has {', '.join(arrays)}, and the model has the outputs"
            f" {', '.join(outputs)}; give an .npz with one array for each output, named like it",
        )
    known = attachments_of(bundle).labels
    return {name: _numbers(place, value, known.get(name, ())) for name, value in arrays.items()}


def _label_arrays(place: Path) -> dict[str, Array]:
    ending = place.suffix.lower()
    if not place.is_file():
        raise InputError("E-DATA-NOT-FOUND", f"{place}: no such file")
    try:
        if ending == ".npz":
            return npz.read_npz(place)
        if ending == ".npy":
            with place.open("rb") as file:
                return {"": np.lib.format.read_array(file, allow_pickle=False)}
        if ending in (".txt", ".csv"):
            lines = place.read_text(encoding="utf-8-sig").splitlines()
            return {"": np.array([line.strip() for line in lines if line.strip()])}
    except (ValueError, OSError, EOFError) as error:
        raise InputError("E-DATA-DAMAGED", f"{place}: cannot be read: {error}") from error
    raise InputError("E-DATA-ENDING", f"{place}: a label file must end in .npy, .npz, .txt or .csv")


def _numbers(place: Path, value: Array, known: Sequence[str]) -> Array:
    if value.dtype.kind in "fiub":
        return value
    if known:
        unknown = sorted(set(map(str, value.ravel())) - set(known))
        if not unknown:
            index = {name: number for number, name in enumerate(known)}
            return np.array([index[str(text)] for text in value.ravel()]).reshape(value.shape)
    for kind in (np.int64, np.float64):
        try:
            return value.astype(kind)
        except ValueError:
            continue
    expected = f"expected one of {', '.join(known)}" if known else "expected numbers"
    raise InputError("E-DATA-LABELS", f"{place}: {expected}, got '{value.ravel()[0]}'")


def _show(found: Sequence[Evaluation], labels: Mapping[str, Sequence[str]]) -> None:
    several = len({e.model for e in found if e.runtime != "keras"}) > 1
    rows = [
        (
            e.model if several else "", e.name, m.output, _share(m.accuracy), _error(m.mean_error),
            _error(m.root_mean_square), _share(m.agreement), _error(m.difference),
        )
        for e in found
        for m in e.metrics
    ]  # fmt: skip
    used = [i for i in range(len(COLUMNS)) if any(row[i] for row in rows)]
    table("evaluation", [COLUMNS[i] for i in used], [[row[i] for i in used] for row in rows])
    for evaluation in found:
        if evaluation.failure is not None:
            say(f"not evaluated: {evaluation.name}: {evaluation.failure}")
        for change in evaluation.changed[:MOST_CHANGES]:
            data(f"{evaluation.name}: {_change(change, labels.get(change.output, ()))}")
        more = len(evaluation.changed) - MOST_CHANGES
        if more > 0:
            data(f"{evaluation.name}: {more} more predictions changed (--json lists all)")


def _change(change: Changed, labels: Sequence[str]) -> str:
    def named(value: float) -> str:
        return labels[int(value)] if int(value) < len(labels) else f"{value:g}"

    row, *steps = change.place
    where = f"sequence {row}" + (f", step {steps[0]}" if steps else "")
    return f"{where}: {change.output} was {named(change.before)}, is {named(change.now)}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"


def _error(value: float | None) -> str:
    return "" if value is None else f"{value:.2e}"
