"""Files for microcontrollers: static shapes, one entry point each, checked in TFLite-Micro.

    plan (batch 1, time fixed) --parts--> TFLite, quantised or not --> run in the real interpreter
      sequence   the whole sequence
      stream     one step, states in and out: called again for each step

TFLite-Micro runs the first subgraph of a file and knows no signatures, so each entry point has its
own file. What its interpreter lacks is refused with the operator and the layer.
"""

import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rnn_deploy.bundle import Artifact, LoweringChoice
from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.formats.base import FormatFiles
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.formats.read_model import ExportPlan, ReadModel
from rnn_deploy.spec import SEQUENCE, STEP, STREAM
from rnn_deploy.tflite.files import quantisation_of, quantised_for
from rnn_deploy.tflite.flatbuffer.merge import unpacked
from rnn_deploy.tflite.format import LOOP, request_from
from rnn_deploy.tflite.micro.format import NAME
from rnn_deploy.tflite.micro.source import HEADER, SOURCE, MicroFile, header_of, source_of
from rnn_deploy.tflite.quantise.recurrent_weights import operator_names
from rnn_deploy.tflite.writer import TfliteEntry, convert, parts_of
from rnn_deploy.workers.process import WorkerError, call_in_process

WORKER = "rnn_deploy.tflite.micro.worker:smallest_arena"  # imported in its own process only
TIME_LIMIT = 120.0  # seconds
_LACKS = re.compile(r"Didn't find op for builtin opcode '(\w+)'")


def choices(plan: ExportPlan, options: ExportOptions) -> list[tuple[str, LoweringChoice]]:
    """Return the lowerings that `write` takes, each with its entry point's name."""
    parts = _parts(plan, options)
    return [(_entry_name(part), choice) for part in parts for choice in part.choices]


def write(read: ReadModel, folder: Path, options: ExportOptions) -> FormatFiles:
    """Write one file for each entry point, and all of them as C arrays."""
    files = [_file(read, options, part) for part in _parts(read.plan, options)]
    origin = (files, read.source.name, version("rnn-deploy"))
    (folder / HEADER).write_text(header_of(*origin), encoding="utf-8")
    (folder / SOURCE).write_text(source_of(*origin), encoding="utf-8")
    for file in files:
        (folder / file.path).write_bytes(file.content)
    quantised = [file.quantised for file in files if file.quantised is not None]
    return FormatFiles(
        tuple(
            Artifact(file.path, NAME, file.entry, file.choices, details=file.details)
            for file in files
        ),
        extra=(HEADER, SOURCE),
        notes=tuple(
            dict.fromkeys(
                (*(n for file in quantised for n in file.notes), *filter(None, map(_larger, files)))
            )
        ),
        quantisation=quantisation_of(NAME, quantised),
    )


def _parts(plan: ExportPlan, options: ExportOptions) -> list[TfliteEntry]:
    # Its interpreter copies the values that a loop carries.
    parts = parts_of(plan, request_from(options), plain=True, loop=LOOP)
    return [part for part in parts if part.entry.name in (SEQUENCE, STEP)]


def _entry_name(part: TfliteEntry) -> str:
    return STREAM if part.entry.name == STEP else part.entry.name


def _file(read: ReadModel, options: ExportOptions, part: TfliteEntry) -> MicroFile:
    content, small, usual = convert(read.plan.model, [part]), None, None
    if options.quantised:
        usual = _arena(content, read.plan, _entry_name(part))
        small = quantised_for(read, options, content, [part.entry])
        content = small.content
    entry = _entry_name(part)
    arena = _arena(content, read.plan, entry)
    model = unpacked(content)
    names = {name for graph in model.subgraphs for name in operator_names(model, graph)}
    return MicroFile(entry, content, part.choices, tuple(sorted(names)), arena, small, usual)


def _larger(file: MicroFile) -> str:
    """Return a note if a quantised file needs more memory than the same in float32."""
    usual = file.float32_arena
    if usual is None or file.arena <= usual:
        return ""
    return (
        f"{file.path} needs an arena of {file.arena:,} B, in float32 {usual:,} B: float32 inputs,"
        " outputs and states have integer copies, which need memory, too (--io makes integers of"
        " them); quantisation makes the weights smaller, which lie in flash"
    )


def _arena(content: bytes, plan: ExportPlan, entry: str) -> int:
    try:
        return int(call_in_process(WORKER, content, time_limit=TIME_LIMIT))
    except WorkerError as error:
        raise _explained(error, content, plan, entry) from error


def _explained(
    error: WorkerError, content: bytes, plan: ExportPlan, entry: str
) -> UnsupportedModelError:
    lacking = _LACKS.search(f"{error.stderr} {error.message}")
    if lacking is None:
        where = f"model '{plan.model.name}', entry point '{entry}'"
        return UnsupportedModelError(
            error.code, f"{where}: TFLite-Micro's interpreter {error.message}"
        )
    name = lacking.group(1)
    layer = _layer_of(name, content, [layer.name for layer in plan.model.layers])
    return UnsupportedModelError(
        "E-MODEL-OPERATOR",
        f"{layer or f'model {plan.model.name!r}'}: TFLite-Micro has no operator {name}; change the"
        f" layer, or export without --to {NAME}",
    )


def _layer_of(operator: str, content: bytes, layers: Sequence[str]) -> str:
    """The layer, by the name of what the operator computes, which the converter takes from it."""
    model = unpacked(content)
    for graph in model.subgraphs:
        for found, name in zip(graph.operators, operator_names(model, graph), strict=True):
            parts = (graph.tensors[found.outputs[0]].name or b"").decode().split("/")
            named = [layer for layer in layers if any(_is_of(part, layer) for part in parts)]
            if name == operator and named:
                return f"layer '{max(named, key=len)}'"
    return ""


def _is_of(part: str, layer: str) -> bool:
    return re.fullmatch(rf"{re.escape(layer)}(_\d+)?", part) is not None
