"""The format "tflite": write one file with a signature for each entry point."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnn_deploy.bundle import Artifact
from rnn_deploy.bundle.manifest import LoweringChoice, Quantisation
from rnn_deploy.errors import InputError
from rnn_deploy.formats.base import FormatFiles
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.formats.read_model import ExportPlan, ReadModel
from rnn_deploy.keras.slices import splitting_into_slices
from rnn_deploy.spec import EntryPoint, RecurrentLayer
from rnn_deploy.tflite.format import (
    FLOAT_IO,
    FORMAT,
    INPLACE,
    IO_OPTION,
    LOOP,
    WITH_RANGES,
    request_from,
)
from rnn_deploy.tflite.quantise.calibration import feeds_by_entry
from rnn_deploy.tflite.quantise.integer_io import ranges_of
from rnn_deploy.tflite.quantise.quantise import IntegerIo, QuantisedFile, quantised
from rnn_deploy.tflite.writer import TfliteEntry, convert, parts_of

FILE = "model.tflite"


def choices(plan: ExportPlan, options: ExportOptions) -> list[tuple[str, LoweringChoice]]:
    """Return the lowerings that `write` takes, each with its entry point's name."""
    return [(part.entry.name, choice) for part in _parts(plan, options) for choice in part.choices]


def write(read: ReadModel, folder: Path, options: ExportOptions) -> FormatFiles:
    """Write the model's file."""
    parts = _parts(read.plan, options)
    fixed = any(isinstance(dim, int) for part in parts for dim in part.entry.inputs[0].shape[:1])
    with splitting_into_slices(fixed and options.quantize in WITH_RANGES):
        content = convert(read.plan.model, parts)
    files = []
    if options.quantised:
        files = [quantised_for(read, options, content, [part.entry for part in parts])]
        content = files[0].content
    (folder / FILE).write_bytes(content)
    details = integer_details(files[0]) if files else {}
    return FormatFiles(
        tuple(
            Artifact(FILE, FORMAT.name, part.entry.name, part.choices, details=details)
            for part in parts
        ),
        notes=tuple(note for file in files for note in file.notes),
        quantisation=quantisation_of(FORMAT.name, files),
    )


def quantised_for(
    read: ReadModel, options: ExportOptions, content: bytes, entries: Sequence[EntryPoint]
) -> QuantisedFile:
    """Return a file with these entry points quantised as the options request."""
    feeds = feeds_by_entry(read.calibration, entries, read.references)
    layers = read.plan.sequence.trace.layers
    kernels = [layer.recurrent_kernel for layer in layers if isinstance(layer, RecurrentLayer)]
    name = read.plan.model.name
    if options.quantize in WITH_RANGES:
        _refuse_not_finite(read)
    io = options[IO_OPTION.name]
    integers = None
    if io != FLOAT_IO:
        states = {s.next_name: s.tensor.name for entry in entries for s in entry.states}
        integers = IntegerIo(io, ranges_of(feeds, read.calibration), states)
    return quantised(content, options.quantize, feeds, kernels=kernels, model=name, io=integers)


def _refuse_not_finite(read: ReadModel) -> None:
    """Raise InputError where no range can be found: the quantised file would end its process."""
    for case in read.calibration:
        for name, value in case.reference.items():
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise InputError(
                    "E-EXPORT-CALIBRATION-RESULT",
                    f"model '{read.plan.model.name}' returns NaN or infinities in '{name}' for the"
                    " calibration data, so its values have no range; check the model's weights, or"
                    " remove those sequences from --calibration",
                )


def integer_details(file: QuantisedFile) -> dict[str, Any]:
    """Return the facts for the manifest: which inputs, outputs and states are integers, if any.

    real value = scale * (integer - zero_point)
    """
    if not file.integers:
        return {}
    return {"integers": {name: dict(vars(scale)) for name, scale in file.integers.items()}}


def quantisation_of(format: str, files: Sequence[QuantisedFile]) -> Quantisation | None:
    """Return the manifest's record of quantised files, or None."""
    if not files:
        return None
    return Quantisation(
        format,
        files[0].mode,
        sum(file.recurrent for file in files),
        sum(file.recurrent_all for file in files),
        sum(file.weight_bytes for file in files),
        sum(file.float_bytes for file in files),
    )


def _parts(plan: ExportPlan, options: ExportOptions) -> tuple[TfliteEntry, ...]:
    # In place, products and outputs share a buffer, and so would share one scale of integers.
    loop = LOOP if options.quantize in WITH_RANGES else INPLACE
    return parts_of(plan, request_from(options), plain=options.quantised, loop=loop)
