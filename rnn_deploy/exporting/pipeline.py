"""The whole export.

open --> draft --> write --> measure what quantisation cost --> renamed into place
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rnn_deploy.bundle import Bundle, GoldenCase, open_bundle
from rnn_deploy.bundle.manifest import QuantisationError
from rnn_deploy.bundle.store import refuse_folder, writing_bundle
from rnn_deploy.exporting.draft import draft_of_model, draft_of_saved_model
from rnn_deploy.exporting.options import ExportOptions
from rnn_deploy.exporting.reading import ModelReader, Progress
from rnn_deploy.exporting.writing import write, write_manifest
from rnn_deploy.keras.intercept import keeping_states
from rnn_deploy.keras.opening import OpenedSavedModel, open_model
from rnn_deploy.optional import require
from rnn_deploy.tflite.quantise.quantise import NONE

# Measures a quantised bundle on cases that have their truth: the costs, and what to warn of.
# Given from above, since the Keras side knows no runtime.
Appraise = Callable[
    [Bundle, Sequence[GoldenCase]], tuple[tuple[QuantisationError, ...], tuple[str, ...]]
]


def export(
    source: Any,
    output: str | Path,
    options: ExportOptions | None = None,
    *,
    force: bool = False,
    progress: Progress = lambda step: None,
    appraise: Appraise | None = None,
    reader: ModelReader | None = None,
) -> Bundle:
    """Export a Keras model (live, .keras, .h5, or a SavedModel folder) to a bundle at `output`.

    appraise: measures what quantisation cost, for the manifest; without it a quantised bundle is
    judged as if it were float32. reader: of `source`, a live model that is exported in other forms
    too.

    Raises InputError for a bad source or an existing output, UnsupportedModelError when the
    model cannot be exported exactly. Nothing is left behind when it fails.
    """
    options = options or ExportOptions()
    if options.quantize != NONE:
        require("ai_edge_quantizer")
    if options.micro:
        require("tflite_micro")
    refuse_folder(Path(output), force=force)
    progress("opening the model")
    opened = open_model(source, trust_source=options.trust_source)
    if isinstance(opened, OpenedSavedModel):
        draft = draft_of_saved_model(opened, options, progress)
    else:
        with keeping_states(options.state == "keep"):
            draft = draft_of_model(opened, options, progress, reader)
    progress("writing the bundle")
    with writing_bundle(output, force=force) as root:
        manifest = write(draft, root, options.test_data)
        if manifest.quantisation is not None and appraise is not None:
            progress("measuring what quantisation costs")
            costs, warnings = appraise(open_bundle(root), [*draft.cases, *draft.calibration])
            quantisation = replace(manifest.quantisation, costs=costs)
            notes = (*manifest.notes, *warnings)
            write_manifest(replace(manifest, quantisation=quantisation, notes=notes), root)
    return open_bundle(output)
