"""Files for microcontrollers: static shapes, one entry point each, checked in TFLite-Micro.

    plan (batch 1, time fixed) --parts--> TFLite, quantised or not --> run in the real interpreter
      sequence   the whole sequence
      stream     one step, states in and out: called again for each step

TFLite-Micro runs the first subgraph of a file and knows no signatures, so each entry point has its
own file. What its interpreter lacks is refused with the operator and the layer.
"""

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

from rnn_deploy.bundle import Artifact, LoweringChoice
from rnn_deploy.formats.base import FormatFiles
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.formats.read_model import ExportPlan, ReadModel
from rnn_deploy.spec import SEQUENCE, STEP, STREAM
from rnn_deploy.tflite.files import quantisation_of, quantised_for
from rnn_deploy.tflite.flatbuffer.merge import unpacked
from rnn_deploy.tflite.format import LOOP, request_from
from rnn_deploy.tflite.micro.budget import OPTION, budget_of
from rnn_deploy.tflite.micro.example import EXAMPLE, example_of
from rnn_deploy.tflite.micro.failures import explained
from rnn_deploy.tflite.micro.format import NAME
from rnn_deploy.tflite.micro.forms import chosen, forms_of, over_budget
from rnn_deploy.tflite.micro.operators import for_micro
from rnn_deploy.tflite.micro.signature import tensors_of
from rnn_deploy.tflite.micro.source import HEADER, SOURCE, MicroFile, header_of, source_of
from rnn_deploy.tflite.quantise.integer_io import TensorScale
from rnn_deploy.tflite.quantise.recurrent_weights import operator_names
from rnn_deploy.tflite.writer import TfliteEntry, convert, parts_of
from rnn_deploy.workers.process import WorkerError, call_in_process

WORKER = "rnn_deploy.tflite.micro.worker:smallest_arena"  # imported in its own process only
TIME_LIMIT = 120.0  # seconds


def choices(plan: ExportPlan, options: ExportOptions) -> list[tuple[str, LoweringChoice]]:
    """Return the lowerings that float32 files get, each with its entry point's name."""

    def measured(part: TfliteEntry) -> MicroFile:
        return _measured(for_micro(convert(plan.model, [part])), plan, part)

    file, _ = chosen(forms_of(plan, options), measured, options)
    step = _step_of(plan, options)
    parts = [(SEQUENCE, file.choices), *([] if step is None else [(STREAM, step.choices)])]
    return [(name, choice) for name, those in parts for choice in those]


def write(read: ReadModel, folder: Path, options: ExportOptions) -> FormatFiles:
    """Write one file for each entry point, and all of them as C arrays, with an example."""
    files, notes = _files(read, options)
    origin = (files, read.source.name, version("rnn-deploy"))
    texts = {HEADER: header_of(*origin), SOURCE: source_of(*origin), EXAMPLE: example_of(*origin)}
    for path, text in texts.items():
        (folder / path).write_text(text, encoding="utf-8")
    for file in files:
        (folder / file.path).write_bytes(file.content)
    quantised = [file.quantised for file in files if file.quantised is not None]
    notes += [note for file in quantised for note in file.notes]
    return FormatFiles(
        tuple(
            Artifact(file.path, NAME, file.entry, file.choices, details=file.details)
            for file in files
        ),
        extra=tuple(texts),
        notes=tuple(dict.fromkeys((*notes, *filter(None, map(_larger, files))))),
        quantisation=quantisation_of(NAME, quantised),
    )


def _files(read: ReadModel, options: ExportOptions) -> tuple[list[MicroFile], list[str]]:
    """Return the file of each entry point, and what does not fit the budget of memory."""

    def written(part: TfliteEntry) -> MicroFile:
        return _file(read, options, part)

    sequence, _ = chosen(forms_of(read.plan, options), written, options)
    step = _step_of(read.plan, options)
    stream = None if step is None else written(step)
    budget = budget_of(options[OPTION.name])
    notes = over_budget(read.plan.model.name, budget, sequence, stream)
    return [file for file in (sequence, stream) if file is not None], notes


def _step_of(plan: ExportPlan, options: ExportOptions) -> TfliteEntry | None:
    # Its interpreter copies the values that a loop carries.
    parts = parts_of(plan, request_from(options), plain=True, loop=LOOP)
    return next((part for part in parts if part.entry.name == STEP), None)


def _entry_name(part: TfliteEntry) -> str:
    return STREAM if part.entry.name == STEP else part.entry.name


def _file(read: ReadModel, options: ExportOptions, part: TfliteEntry) -> MicroFile:
    content, small, usual = convert(read.plan.model, [part]), None, None
    if options.quantised:
        usual = _arena(for_micro(content), read.plan, _entry_name(part))
        small = quantised_for(read, options, content, [part.entry])
        content = small.content
    integers = {} if small is None else small.integers
    file = _measured(for_micro(content), read.plan, part, integers)
    return replace(file, quantised=small, float32_arena=usual)


def _measured(
    content: bytes,
    plan: ExportPlan,
    part: TfliteEntry,
    integers: Mapping[str, TensorScale] = MappingProxyType({}),
) -> MicroFile:
    entry = _entry_name(part)
    arena = _arena(content, plan, entry)
    model = unpacked(content)
    names = {name for graph in model.subgraphs for name in operator_names(model, graph)}
    inputs, outputs, states = tensors_of(model, part.entry, integers)
    return MicroFile(
        entry, content, part.choices, tuple(sorted(names)), arena, inputs, outputs, states
    )


def _larger(file: MicroFile) -> str:
    """Return a note if a quantised file needs more memory than the same in float32."""
    usual = file.float32_arena
    if usual is None or file.arena <= usual:
        return ""
    why = "integers of a file need scales and tables, which float32 does not"
    if file.quantised is None or not file.quantised.integers:
        why = (
            "float32 inputs, outputs and states have integer copies, which need memory too (--io"
            " makes integers of them)"
        )
    return (
        f"{file.path} needs an arena of {file.arena:,} B, in float32 {usual:,} B: {why};"
        " quantisation makes the weights smaller, which lie in flash"
    )


def _arena(content: bytes, plan: ExportPlan, entry: str) -> int:
    try:
        return int(call_in_process(WORKER, content, time_limit=TIME_LIMIT))
    except WorkerError as error:
        raise explained(error, content, plan, entry) from error
