"""Convert a SavedModel's serving function with its loops, since its layers are unknown."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.errors import UnsupportedModelError, one_line
from rnn_deploy.keras.compat import convert_variables_to_constants
from rnn_deploy.keras.opening import OpenedSavedModel
from rnn_deploy.keras.signature import Signature
from rnn_deploy.keras.tracing import Trace
from rnn_deploy.onnx import writer as onnx
from rnn_deploy.onnx.metadata import ModelMetadata
from rnn_deploy.spec import EntryPoint


def convert(opened: OpenedSavedModel, entry: EntryPoint, label: ModelMetadata) -> ir.Model:
    """Return the serving function as ONNX, converted by tf2onnx."""
    graph = convert_variables_to_constants(opened.function, lower_control_flow=False)
    signature = Signature(entry.inputs, tuple(tensor.name for tensor in entry.outputs))
    ordered = _InOrder(graph, opened, entry)
    if not _has_loops_of_tensorflow_1(ordered.graph):
        model = onnx.convert(Trace(signature, ordered, {}, (), {}))
        return onnx.assemble(model, {}, (), entry, label)
    try:
        model = onnx.convert(Trace(signature, ordered, {}, (), {}))
        return onnx.assemble(model, {}, (), entry, label)
    except Exception as error:  # tf2onnx and onnx raise many types
        raise refused_loop(one_line(error)) from error


def check_loops(opened: OpenedSavedModel, model: ir.Model, cases: Sequence[GoldenCase]) -> None:
    """Refuse a model whose TensorFlow 1 loops tf2onnx converted wrongly."""
    if not _has_loops_of_tensorflow_1(opened.function.graph):
        return
    try:
        session = ReferenceEvaluator(ir.to_proto(model))
        for case in cases[:3]:
            results = dict(zip(session.output_names, session.run(None, case.feeds), strict=True))
            for name, value in results.items():
                truth: Any = case.reference[name]
                np.testing.assert_allclose(value, truth, rtol=1e-3, atol=1e-4)
    except Exception as error:  # after any exception of the evaluator the file is not reliable
        raise refused_loop(one_line(error)) from error


def refused_loop(cause: str) -> UnsupportedModelError:
    """Return the error for a loop of TensorFlow 1 that cannot be converted."""
    return UnsupportedModelError(
        "E-SOURCE-TF1-LOOP",
        "the SavedModel contains a loop of TensorFlow 1, which tf2onnx cannot convert correctly"
        f" ({cause}); build the model in Keras, load its variables, and export that:"
        " tf.train.load_checkpoint(FOLDER + '/variables/variables')",
    )


def _has_loops_of_tensorflow_1(graph: Any) -> bool:
    return any(operation.type in ("Enter", "RefEnter") for operation in graph.get_operations())


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
                " export the .keras or .h5 file of the model",
            )
        self.inputs = [by_name[t.name] for t in entry.inputs]
        names = sorted(opened.function.structured_outputs)
        outputs = dict(zip(names, frozen.outputs, strict=True))
        self.outputs = [outputs[tensor.name] for tensor in entry.outputs]
