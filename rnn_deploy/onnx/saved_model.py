"""Convert a SavedModel's serving function as it is, loops and all: its layers are unknown."""

from typing import Any

import onnx_ir as ir
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras.opening import OpenedSavedModel
from rnn_deploy.keras.signature import Signature
from rnn_deploy.keras.tracing import Trace
from rnn_deploy.onnx import writer as onnx
from rnn_deploy.onnx.metadata import ModelMetadata
from rnn_deploy.spec import EntryPoint


def convert(opened: OpenedSavedModel, entry: EntryPoint, label: ModelMetadata) -> ir.Model:
    """The serving function as ONNX, as tf2onnx writes it."""
    graph = convert_variables_to_constants_v2(opened.function, lower_control_flow=False)
    signature = Signature(entry.inputs, tuple(tensor.name for tensor in entry.outputs))
    model = onnx.convert(Trace(signature, _InOrder(graph, opened, entry), {}, (), {}))
    return onnx.assemble(model, {}, (), entry, label)


class _InOrder:
    """A frozen function's graph with inputs and outputs in the entry point's order."""

    def __init__(self, frozen: Any, opened: OpenedSavedModel, entry: EntryPoint) -> None:
        self.graph = frozen.graph
        by_name = {tensor.op.name: tensor for tensor in frozen.inputs}
        missing = [t.name for t in entry.inputs if t.name not in by_name]
        if missing:
            raise UnsupportedModelError(
                "E-SOURCE-HIDDEN-INPUT",
                f"the SavedModel's function hides its input {', '.join(missing)};"
                " export the .keras file",
            )
        self.inputs = [by_name[t.name] for t in entry.inputs]
        names = sorted(opened.function.structured_outputs)
        outputs = dict(zip(names, frozen.outputs, strict=True))
        self.outputs = [outputs[tensor.name] for tensor in entry.outputs]
