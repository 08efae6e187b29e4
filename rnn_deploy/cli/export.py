"""`rnn-deploy export`: a Keras model to a bundle."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

import click

from rnn_deploy.bundle import Bundle
from rnn_deploy.bundle.appraisal import file_report
from rnn_deploy.bundle.manifest import (
    Artifact,
    Manifest,
    Quantisation,
    QuantisationError,
    json_from_manifest,
)
from rnn_deploy.cli.arrays import read_npz
from rnn_deploy.cli.attachments import NAMES as ATTACHMENTS
from rnn_deploy.cli.attachments import attachment_options, read_attachments
from rnn_deploy.cli.console import data, progress, say
from rnn_deploy.cli.options import opening_options
from rnn_deploy.formats.base import FormatOption
from rnn_deploy.formats.options import (
    DROPOUT,
    NO_QUANTISATION,
    OPEN,
    STATES,
    ExportOptions,
    renamed_target,
)
from rnn_deploy.formats.registry import (
    all_formats,
    all_options,
    default_formats,
    quantize_modes,
)


def _options_of_formats(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add every option that a format declares."""
    for option, users in reversed(all_options().values()):
        command = click.option(option.flag, **_keywords(option, users))(command)
    return command


def _keywords(option: FormatOption, users: Sequence[str]) -> dict[str, Any]:
    keywords = {"help": f"{option.help}  [{', '.join(users)}]", "default": option.default}
    if isinstance(option.default, bool):
        return {**keywords, "is_flag": True}
    if option.many and isinstance(option.default, str):
        keywords["default"] = (option.default,)
    kind = click.Choice(option.choices) if option.choices else type(option.default or "")
    return {**keywords, "type": kind, "multiple": option.many, "metavar": option.metavar,
            "show_default": bool(option.default)}  # fmt: skip


class _Size(click.ParamType):  # type: ignore[type-arg]
    """A number of at least 1, or "open"."""

    name = "size"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> int | str:
        if value == OPEN:
            return OPEN
        return int(click.IntRange(1).convert(value, param, context))


def _refuse_target(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise renamed_target(value)


@click.command("export")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The bundle's folder."
)
@click.option(
    "--to",
    multiple=True,
    type=click.Choice(tuple(all_formats())),
    help=f"A format; may be repeated.  [default: {', '.join(default_formats())}]",
)
@_options_of_formats
@click.option("--target", hidden=True, expose_value=False, callback=_refuse_target)
@click.option(
    "--time",
    type=_Size(),
    metavar="N|open",
    help="Number of steps of the sequence entry point: a fixed number (the lowering unrolled needs"
    " one), or open for any.  [default: as the model has it]",
)
@click.option(
    "--batch",
    type=_Size(),
    metavar="N|open",
    help="Number of sequences in a call: a fixed number, or open for any.  [default: as the model"
    " has it]",
)
@click.option(
    "--dropout",
    default=DROPOUT[0],
    show_default=True,
    type=click.Choice(DROPOUT),
    help="off: remove dropout that the model calls with training=True. Without this option, export"
    " refuses such a model.",
)
@click.option(
    "--samples",
    type=click.Path(path_type=Path),
    help="Real inputs (.npz, by input name), stored as a golden vector.",
)
@click.option(
    "--state",
    default=STATES[0],
    show_default=True,
    type=click.Choice(STATES),
    help="How states are exported. input: the stream entry point takes and returns them. reset:"
    " no stream; each call starts from zero. keep: no stream; each call starts from the current"
    " states of the model.",
)
@click.option(
    "--quantize",
    default=NO_QUANTISATION,
    show_default=True,
    type=click.Choice((NO_QUANTISATION, *quantize_modes())),
    help="Store weights in fewer bits. int8 and int16x8 quantise activations too, and need"
    " --calibration."
    f"  [{', '.join(name for name, format in all_formats().items() if format.quantize)}]",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    help="Real inputs (.npz, by input name) that set the ranges of activations. Export also"
    " measures the quantisation error on them.",
)
@click.option(
    "--evaluate",
    type=click.Path(path_type=Path),
    help="Real inputs (.npz, by input name) that --calibration does not contain. Export reports the"
    " error of each quantised model file on them.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Random seed of the generated golden vectors.",
)
@click.option(
    "--long",
    type=click.IntRange(0),
    metavar="N",
    help="Steps of the longest golden vector, 0 for none. It is stored as a seed.  [default:"
    " 10,000, fewer for a large model]",
)
@attachment_options
@opening_options
@click.option("--force", is_flag=True, help="Replace an existing bundle.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest.")
def command(model: Path, output: Path, force: bool, as_json: bool, **given: Any) -> None:
    """Export MODEL to a bundle: .keras, .h5 or a SavedModel folder, of any Keras version.

    MODEL may be a part of a model: layers as JSON with --weights, or weights alone (.h5 or a
    TensorFlow checkpoint) with --model-from.

    Options marked with formats in brackets apply only to these formats.
    """
    for name in ("samples", "calibration", "evaluate"):
        given[name] = given[name] and read_npz(given[name])
    attached = read_attachments(**{name: given.pop(name) for name in ATTACHMENTS})
    with progress() as step:
        from rnn_deploy.exporting.given import given_attachments

        options = ExportOptions(attachments=given_attachments(**attached), **given)
        step("starting TensorFlow")
        from rnn_deploy.exporting.pipeline import export
        from rnn_deploy.verifying.loading import check_loads
        from rnn_deploy.verifying.quantisation_error import appraise

        bundle = export(
            model,
            output,
            options,
            force=force,
            progress=step,
            appraise=appraise,
            check_loads=check_loads,
        )
    if as_json:
        data(json_from_manifest(bundle.manifest).rstrip())
    for line in summary(bundle):
        say(line)


def quantisation_lines(quantisation: Quantisation | None) -> list[str]:
    """Return what was quantised and its errors, as lines of text."""
    if quantisation is None:
        return []
    q = quantisation
    return [
        f"  {q.format} quantised to {q.mode}: {q.recurrent} of {q.recurrent_all} recurrent weights,"
        f" all weights {q.float_bytes:,} B -> {q.weight_bytes:,} B; measured on {q.measured_on}",
        *(f"    {cost.kind} '{cost.tensor}': {quantisation_error_text(cost)}" for cost in q.costs),
    ]


def file_lines(manifest: Manifest) -> list[str]:
    """Return the errors of each quantised model file, as lines of text."""
    report = file_report(manifest)
    if report is None:
        return []
    return [
        f"  by model file, on {report.measured_on}:",
        *(
            f"    {each.file}: {cost.kind} '{cost.tensor}': {quantisation_error_text(cost)}"
            for each in report.files
            for cost in each.costs
        ),
    ]


def detail_lines(artifacts: Sequence[Artifact]) -> list[str]:
    """Return the details of model files: a line for each file that has any, and for each row."""
    lines = []
    for artifact in (a for a in artifacts if a.details):
        rows = {k: v for k, v in artifact.details.items() if _is_table(v)}
        facts = {k: v for k, v in artifact.details.items() if k not in rows}
        lines.append(f"  {artifact.path}: {_listed(facts)}")
        lines += [f"    {name}: {_listed(row)}" for name, table in rows.items() for row in table]
    return lines


def _is_table(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(row, Mapping) for row in value)


def _listed(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in facts.items())


def _shown(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def quantisation_error_text(cost: QuantisationError) -> str:
    """Return an error of quantisation in words."""
    ratio = "unchanged" if cost.snr_db is None else f"{cost.snr_db:.1f} dB signal to noise"
    largest = f", largest error {cost.max_abs:.1e}" if cost.snr_db is not None else ""
    labels = f", {cost.labels_changed} of {cost.labels} labels changed" if cost.labels else ""
    return ratio + largest + labels


def summary(bundle: Bundle) -> list[str]:
    """Return what was written, as lines of text."""
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
        *file_lines(manifest),
        *detail_lines(manifest.artifacts),
        *(f"note: {note}" for note in manifest.notes),
        f"next: rnn-deploy verify {quote(str(bundle.root))}",
    ]
