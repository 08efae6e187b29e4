"""The whole export, step by step.

check the options --> open and read the model --> write each format --> write the manifest
    --> measure the quantisation error --> rename into place
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from rnn_deploy.bundle import Bundle, GoldenCase, open_bundle
from rnn_deploy.bundle.appraisal import CALIBRATION, GOLDEN, Appraisal
from rnn_deploy.bundle.manifest import DROPOUT_OFF, Extension, Manifest
from rnn_deploy.bundle.store import refuse_folder, writing_bundle
from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.exporting.attachments import attachments_for
from rnn_deploy.exporting.cases import LONG, long_steps
from rnn_deploy.exporting.reading import ModelReader, Progress
from rnn_deploy.exporting.saved_model import notes_on, read_saved_model
from rnn_deploy.exporting.writing import BundleContent, rows_of, write, write_manifest
from rnn_deploy.formats.base import Format, FormatFiles
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.formats.registry import all_formats
from rnn_deploy.keras import access
from rnn_deploy.keras.defaults import usual_defaults
from rnn_deploy.keras.intercept import keeping_states
from rnn_deploy.keras.opening import OpenedModel, OpenedSavedModel, open_model
from rnn_deploy.keras.preprocessing import without_preprocessing
from rnn_deploy.keras.training import refuse_unused_option, without_dropout
from rnn_deploy.optional import require

# Measures the errors of a quantised bundle on cases with known results, with warnings for the user.
# The caller supplies it, since the Keras side does not know the runtimes.
Appraise = Callable[[Bundle, Sequence[GoldenCase], Sequence[GoldenCase]], Appraisal]
# Loads a bundle in runtimes by name; returns notes, raises UnsupportedModelError.
CheckLoads = Callable[[Bundle, Sequence[str]], tuple[str, ...]]
NOT_EVALUATED = (
    "the errors of quantisation were measured on the data that set its ranges; --evaluate DATA.npz"
    " measures them on data that were held out"
)
# Writes one format into a folder.
WriteFormat = Callable[[Format, Path], FormatFiles]


def export(
    source: Any,
    output: str | Path,
    options: ExportOptions | None = None,
    *,
    force: bool = False,
    progress: Progress = lambda step: None,
    appraise: Appraise | None = None,
    check_loads: CheckLoads | None = None,
    reader: ModelReader | None = None,
) -> Bundle:
    """Export a Keras model (live, .keras, .h5, or a SavedModel folder) to a bundle at `output`.

    appraise: measures the quantisation error for the manifest; without it a quantised bundle has
    the budgets of float32. check_loads: loads the bundle in the runtimes of a profile; without it
    this is not tested. reader: of `source`, a live model that is exported several times.

    Raise InputError for a bad source or an existing output, UnsupportedModelError if the model
    cannot be exported exactly. A failed export leaves nothing behind.
    """
    options = options or ExportOptions()
    for format in options.formats:
        for package in (*format.packages, *(format.quantize_packages if options.quantised else ())):
            require(package)
    refuse_folder(Path(output), force=force)
    progress("opening the model")
    opened, steps = without_preprocessing(open_model(source, **vars(options.opening)))
    live = access.is_model(source)  # the user may have built it with global settings
    with (
        nullcontext() if live else usual_defaults(),
        keeping_states(options.state == "keep"),
        without_dropout(options.dropout == "off") as left_out,
    ):
        if isinstance(opened, OpenedSavedModel):
            content, write_format = _saved_model(opened, options, progress)
        else:
            content, write_format = _keras_model(opened, options, progress, reader)
            content = _naming_dropout(content, options, left_out())
        with writing_bundle(output, force=force) as root:
            written = []
            for format in options.formats:
                if isinstance(opened, OpenedModel) or format.saved_models:
                    progress(f"writing {format.title}")
                    written.append((format, write_format(format, root)))
            progress("writing the bundle")
            attachments = attachments_for(options.attachments, steps, content.entries[0])
            manifest = write(replace(content, attachments=attachments), written, root)
            if manifest.quantisation is not None and appraise is not None:
                progress("measuring what quantisation changed")
                _appraised(manifest, content, appraise, root)
            load_on = dict.fromkeys(name for _, files in written for name in files.load_on)
            if load_on and check_loads is not None:
                progress(f"loading in {', '.join(load_on)}")
                _noted(root, check_loads(open_bundle(root), tuple(load_on)))
    return open_bundle(output)


def _appraised(manifest: Manifest, content: BundleContent, appraise: Appraise, root: Path) -> None:
    assert manifest.quantisation is not None
    known = [*content.cases, *content.calibration]
    found = appraise(open_bundle(root), known, content.evaluation)
    measured_on = CALIBRATION if content.calibration else GOLDEN
    if content.evaluation:
        measured_on = f"{rows_of(content.evaluation)} held-out sequences (--evaluate)"
    unseen = [NOT_EVALUATED] if content.calibration and not content.evaluation else []
    changed = replace(
        manifest,
        quantisation=replace(manifest.quantisation, costs=found.costs),
        notes=(*manifest.notes, *found.warnings, *unseen),
        extensions={**manifest.extensions, **found.extension(measured_on)},
    )
    write_manifest(changed, root)


def _noted(root: Path, notes: Sequence[str]) -> None:
    if notes:
        manifest = open_bundle(root).manifest
        write_manifest(replace(manifest, notes=(*manifest.notes, *notes)), root)


def _keras_model(
    opened: OpenedModel, options: ExportOptions, progress: Progress, reader: ModelReader | None
) -> tuple[BundleContent, WriteFormat]:
    read = (reader or ModelReader(opened.model)).read(options, progress, opened.source)
    plan = read.plan
    content = BundleContent(
        source=opened.source,
        entries=tuple(traced.entry for traced in plan.all_traced),
        cases=read.cases,
        notes=(*opened.notes, *plan.notes, *_notes_on(long_steps(plan, options), options)),
        state=options.state,
        calibration=read.calibration,
        evaluation=read.evaluation,
        proof=read.proof,
    )
    return content, lambda format, root: format.load_writer().write(read, root, options)


def _saved_model(
    opened: OpenedSavedModel, options: ExportOptions, progress: Progress
) -> tuple[BundleContent, WriteFormat]:
    if options.for_layers:
        raise UnsupportedModelError(
            "E-SOURCE-SAVED-MODEL-OPTION",
            f"{', '.join(options.for_layers)}: does not apply to a SavedModel, whose layers cannot"
            " be read; remove it, or export the .keras or .h5 file of the model",
        )
    without = [format for format in options.formats if not format.saved_models]
    notes = [f"no {format.title}: {format.why_no_saved_model}" for format in without]
    if len(without) == len(options.formats):
        able = " or ".join(f"--to {n}" for n, f in all_formats().items() if f.saved_models)
        raise UnsupportedModelError(
            "E-SOURCE-SAVED-MODEL-FORMAT",
            f"{'; '.join(notes)}; add {able}, or export the .keras or .h5 file of the model",
        )
    read = read_saved_model(opened, options, progress)
    content = BundleContent(opened.source, (read.entry,), read.cases, (*notes_on(opened), *notes))
    return content, lambda format, root: format.load_writer().write_saved_model(read, root, options)


def _naming_dropout(
    content: BundleContent, options: ExportOptions, left_out: tuple[str, ...]
) -> BundleContent:
    """Return the content with a note on the layers whose dropout --dropout off removed."""
    if options.dropout != "off":
        return content
    refuse_unused_option(left_out)
    layers = ", ".join(f"'{name}'" for name in left_out)
    note = f"the dropout of layer {layers} is left out, as requested"
    extensions = {**content.extensions, DROPOUT_OFF: Extension({"layers": list(left_out)})}
    return replace(content, notes=(*content.notes, note), extensions=extensions)


def _notes_on(steps: int, options: ExportOptions) -> Iterator[str]:
    if options.long is None and steps < LONG:
        yield (
            f"the longest golden vector has {steps:,} steps, since the model is large;"
            f" --long {LONG} makes it longer"
        )
