"""`rnn-deploy export`: a Keras model to a bundle."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

import click

from rnn_deploy.bundle import Bundle
from rnn_deploy.bundle.manifest import (
    Artifact,
    Quantisation,
    QuantisationError,
    json_from_manifest,
)
from rnn_deploy.cli.arrays import read_npz
from rnn_deploy.cli.console import data, progress, say
from rnn_deploy.errors import InputError


@click.command("export")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The bundle's folder."
)
@click.option(
    "--to",
    multiple=True,
    type=click.Choice(["onnx", "tflite"]),
    help="A format; may be given twice.  [default: both]",
)
@click.option(
    "--lowering",
    multiple=True,
    metavar="[LAYER=]NAME",
    help="How recurrent layers are written in ONNX: auto, native, scan, unrolled; for all or for"
    " one layer, may be given several times.  [default: auto]",
)
@click.option(
    "--tflite-lowering",
    multiple=True,
    metavar="[LAYER=]NAME",
    help="The same for TFLite: auto, inplace, loop, unrolled, fused.  [default: auto]",
)
@click.option(
    "--target",
    default="ort",
    show_default=True,
    metavar="NAME",
    help="What the ONNX must be right on: ort, openvino, portable (every runtime tried);"
    " or tflite-micro: static files and C arrays for microcontrollers, and nothing else.",
)
@click.option(
    "--expect",
    multiple=True,
    metavar="[ENTRY=]BATCHxTIME",
    help="A shape the model will be called with, by which auto chooses; may be given again."
    "  [default: 1x100, 32x100, stream=1x1]",
)
@click.option(
    "--opset", type=int, default=17, show_default=True, metavar="N", help="Of ONNX: 17 to 22."
)
@click.option(
    "--time",
    type=click.IntRange(1),
    metavar="N",
    help="Fix the number of steps of the sequence entry point (unrolled needs it).",
)
@click.option(
    "--samples",
    type=click.Path(path_type=Path),
    help="Real inputs (.npz, by input name), kept as a golden vector.",
)
@click.option(
    "--state",
    default="input",
    show_default=True,
    type=click.Choice(["input", "reset", "keep"]),
    help="Of recurrent layers: input and output of the stream entry point; or no stream, and each"
    " call starts from zero, or from the state the model holds.",
)
@click.option(
    "--quantize",
    default="none",
    show_default=True,
    type=click.Choice(["none", "float16", "dynamic-int8", "int8"]),
    help="Of TFLite: weights in fewer bits; int8: activations too, which needs --calibration.",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    help="Real inputs (.npz, by input name) for the ranges of int8; what quantisation costs is"
    " measured on them too.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Of the made-up golden vectors.",
)
@click.option(
    "--long",
    type=click.IntRange(0),
    metavar="N",
    help="Steps of the longest golden vector (which is stored as a seed), 0: none; by default"
    " 10,000, fewer for a large model.",
)
@click.option(
    "--test-data/--no-test-data",
    default=None,
    help="Write golden vectors as ONNX test_data_set_N too.  [default: where they are small]",
)
@click.option("--trust-source", is_flag=True, help="Let the model's file run code of its own.")
@click.option("--force", is_flag=True, help="Replace an existing bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest.")
def command(
    model: Path, output: Path, to: tuple[str, ...], lowering: tuple[str, ...], target: str,
    expect: tuple[str, ...], opset: int, time: int | None, samples: Path | None, state: str,
    seed: int, long: int | None, test_data: bool | None, trust_source: bool, force: bool,
    as_json: bool, tflite_lowering: tuple[str, ...], quantize: str, calibration: Path | None,
) -> None:  # fmt: skip
    """Export MODEL (.keras, .h5 or a SavedModel folder) to a bundle."""
    with progress() as step:
        step("starting TensorFlow")
        from rnn_deploy.exporting.options import FORMATS, ExportOptions
        from rnn_deploy.exporting.pipeline import export
        from rnn_deploy.verifying.quantisation_error import appraise

        options = ExportOptions(
            to=to or FORMATS,
            lowering=lowerings_from(lowering),
            time=time,
            samples=None if samples is None else read_npz(samples),
            seed=seed,
            trust_source=trust_source,
            target=target,
            state=state,
            opset=opset,
            expect=expect,
            long=long,
            test_data=test_data,
            tflite_lowering=lowerings_from(tflite_lowering, "--tflite-lowering"),
            quantize=quantize,
            calibration=None if calibration is None else read_npz(calibration),
        )
        bundle = export(model, output, options, force=force, progress=step, appraise=appraise)
    if as_json:
        data(json_from_manifest(bundle.manifest).rstrip())
    for line in summary(bundle):
        say(line)


def lowerings_from(words: Sequence[str], option: str = "--lowering") -> dict[str, str]:
    """LAYER=NAME by layer, NAME under "*"; InputError when one is given twice."""
    lowerings: dict[str, str] = {}
    for word in words:
        layer, equals, name = word.rpartition("=")
        key = layer if equals else "*"
        if key in lowerings:
            of = f"layer '{layer}'" if equals else "all layers"
            raise InputError(f"{option} is given twice for {of}: {lowerings[key]}, {name}")
        lowerings[key] = name
    return lowerings


def quantisation_lines(quantisation: Quantisation | None) -> list[str]:
    """What was quantised and what it cost, in lines for a person."""
    if quantisation is None:
        return []
    q = quantisation
    return [
        f"  {q.format} quantised to {q.mode}: {q.recurrent} of {q.recurrent_all} recurrent weights,"
        f" all weights {q.float_bytes:,} B -> {q.weight_bytes:,} B; measured on {q.measured_on}",
        *(f"    {cost.kind} '{cost.tensor}': {said_of(cost)}" for cost in q.costs),
    ]


def detail_lines(artifacts: Sequence[Artifact]) -> list[str]:
    """Return the details of model files, a line for each file that has any."""
    return [
        f"  {a.path}: " + ", ".join(f"{name} {_shown(v)}" for name, v in a.details.items())
        for a in artifacts
        if a.details
    ]


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def said_of(cost: QuantisationError) -> str:
    """A cost in words."""
    ratio = "unchanged" if cost.snr_db is None else f"{cost.snr_db:.1f} dB signal to noise"
    largest = f", largest error {cost.max_abs:.1e}" if cost.snr_db is not None else ""
    labels = f", {cost.labels_changed} of {cost.labels} labels changed" if cost.labels else ""
    return ratio + largest + labels


def summary(bundle: Bundle) -> list[str]:
    """What was written, in lines for a person."""
    manifest = bundle.manifest
    sizes: dict[str, int] = {}
    for record in manifest.files:
        path, below, _ = record.path.partition("/")
        sizes[path + below] = sizes.get(path + below, 0) + record.size
    lines = [f"wrote {bundle.root}: " + ", ".join(f"{p} {n:,} B" for p, n in sizes.items())]
    for artifact in manifest.artifacts:
        for choice in artifact.choices:
            lines.append(
                f"  {artifact.format} {artifact.entry}: layer '{choice.layer}' as"
                f" {choice.lowering} ({choice.reason})"
            )
    return [
        *lines,
        *quantisation_lines(manifest.quantisation),
        *detail_lines(manifest.artifacts),
        *(f"note: {note}" for note in manifest.notes),
        f"next: rnn-deploy verify {quote(str(bundle.root))}",
    ]
