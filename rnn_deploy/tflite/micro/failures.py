"""Which operator and layer TFLite-Micro's interpreter failed at, from what it printed."""

import re
from collections.abc import Sequence

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.formats.read_model import ExportPlan
from rnn_deploy.tflite.flatbuffer.merge import unpacked
from rnn_deploy.tflite.micro.format import NAME
from rnn_deploy.tflite.quantise.recurrent_weights import operator_names
from rnn_deploy.workers.process import WorkerError

_LACKS = re.compile(r"Didn't find op for builtin opcode '(?P<operator>\w+)'")
_FAILED = re.compile(
    r"(?P<detail>[^\r\n]*)[\r\n]+Node (?P<operator>\w+) \(number [^)]*\) failed to"
)


def explained(
    error: WorkerError, content: bytes, plan: ExportPlan, entry: str
) -> UnsupportedModelError:
    text = f"{error.stderr} {error.message}"
    lacking, failed = _LACKS.search(text), _FAILED.search(text)
    where = f"model '{plan.model.name}', entry point '{entry}'"
    found = lacking or failed
    if found is None:
        return UnsupportedModelError(
            error.code, f"{where}: TFLite-Micro's interpreter {error.message}"
        )
    name = found["operator"]
    layer = _layer_of(name, content, [layer.name for layer in plan.model.layers])
    reason = f"has no operator {name}"
    if lacking is None:
        detail = " ".join((failed["detail"] if failed else "").split())
        reason = f"cannot run its operator {name}" + (f" ({detail})" if detail else "")
    return UnsupportedModelError(
        "E-MODEL-OPERATOR",
        f"{f'layer {layer!r}' if layer else where}: TFLite-Micro {reason}; change the layer, or"
        f" export without --to {NAME}",
    )


def _layer_of(operator: str, content: bytes, layers: Sequence[str]) -> str:
    """The layer, by the name of what the operator computes, which the converter takes from it.

    Replacements and operators in loops have no name: then it is that of the next operator in the
    main graph that has one.
    """
    model = unpacked(content)
    graph = model.subgraphs[0]
    in_loop = operator not in operator_names(model, graph)
    met = False
    for found, name in zip(graph.operators, operator_names(model, graph), strict=True):
        met = met or name == operator or (in_loop and name == "WHILE")
        parts = (graph.tensors[found.outputs[0]].name or b"").decode().split("/")
        named = [layer for layer in layers if any(_is_of(part, layer) for part in parts)]
        if met and named:
            return max(named, key=len)
    return ""


def _is_of(part: str, layer: str) -> bool:
    return re.fullmatch(rf"{re.escape(layer)}(_\d+)?", part) is not None
