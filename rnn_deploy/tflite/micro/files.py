"""Files for microcontrollers: static shapes, one entry point each, checked in TFLite-Micro.

    plan (batch 1, time fixed) --parts--> TFLite, quantised or not --> run in the real interpreter
      sequence   the whole sequence
      stream     one step, states in and out: called again for each step

TFLite-Micro runs the first subgraph of a file and knows no signatures, so each entry point has its
own file. What its interpreter lacks is refused with the operator and the layer.
"""

import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rnn_deploy.bundle.manifest import LoweringChoice
from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.exporting.plan import ExportPlan
from rnn_deploy.spec import SEQUENCE, STEP, STREAM, EntryPoint
from rnn_deploy.tflite import writer as tflite
from rnn_deploy.tflite.choice import LOOP, TfliteLoweringRequest
from rnn_deploy.tflite.flatbuffer.merge import unpacked
from rnn_deploy.tflite.isolated import run_isolated
from rnn_deploy.tflite.quantise.quantise import QuantisedFile
from rnn_deploy.tflite.quantise.recurrent_weights import operator_names

WORKER = Path(__file__).with_name("worker.py")
SECONDS = 120.0
_LACKS = re.compile(r"Didn't find op for builtin opcode '(\w+)'")
Quantise = Callable[[bytes, EntryPoint], QuantisedFile]


@dataclass(frozen=True)
class MicroFile:
    """One file: the entry point it is, its operators, the arena it needs in bytes."""

    entry: str
    content: bytes
    choices: tuple[LoweringChoice, ...]
    operators: tuple[str, ...]
    arena: int
    quantised: QuantisedFile | None

    @property
    def path(self) -> str:
        return f"{self.entry}.tflite"


def micro_files(
    plan: ExportPlan, wished: TfliteLoweringRequest, quantise: Quantise | None
) -> tuple[MicroFile, ...]:
    """The files of a plan whose shapes are fixed; UnsupportedModelError for what cannot run."""
    # Its interpreter copies what a loop carries.
    parts = tflite.parts_of(plan, wished, plain=True, loop=LOOP)
    wanted = [part for part in parts if part.entry.name in (SEQUENCE, STEP)]
    return tuple(_file(plan, part, quantise) for part in wanted)


def without_unchunked_stream(plan: ExportPlan) -> ExportPlan:
    """The plan, its stream left out where steps do not give what the whole gives."""
    if plan.stream is None or plan.stream.entry.chunked.ok:
        return plan
    note = f"no stream entry point for single steps: {plan.stream.entry.chunked.reason}"
    return replace(plan, stream=None, notes=(*plan.notes, note))


def _file(plan: ExportPlan, part: tflite.TfliteEntry, quantise: Quantise | None) -> MicroFile:
    content = tflite.convert(plan.model, [part])
    small = None if quantise is None else quantise(content, part.entry)
    content = content if small is None else small.content
    entry = STREAM if part.entry.name == STEP else part.entry.name
    arena = _arena(content, plan, entry)
    model = unpacked(content)
    names = {name for graph in model.subgraphs for name in operator_names(model, graph)}
    return MicroFile(entry, content, part.choices, tuple(sorted(names)), arena, small)


def _arena(content: bytes, plan: ExportPlan, entry: str) -> int:
    what = f"model '{plan.model.name}': its entry point '{entry}' in TFLite-Micro's interpreter"
    with tempfile.TemporaryDirectory(prefix="rnn-deploy-") as place:
        model, result = Path(place) / "model.tflite", Path(place) / "result.json"
        model.write_bytes(content)
        try:
            run_isolated(WORKER, str(model), str(result), what=what, seconds=SECONDS)
        except UnsupportedModelError as error:
            raise _explained(error, content, plan) from error
        return int(json.loads(result.read_text())["arena"])


def _explained(
    error: UnsupportedModelError, content: bytes, plan: ExportPlan
) -> UnsupportedModelError:
    lacking = _LACKS.search(str(error.__cause__ or error))
    if lacking is None:
        return error
    name = lacking.group(1)
    layer = _layer_of(name, content, [layer.name for layer in plan.model.layers])
    return UnsupportedModelError(
        f"{layer or f'model {plan.model.name!r}'}: TFLite-Micro has no operator {name}; change the"
        " layer, or export without --target tflite-micro"
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
