"""Convert a TensorFlow graph to ONNX with tf2onnx: everything except the recurrent loops.

This module adds two operators that Keras' activations need and tf2onnx lacks. A choice between two
values becomes Where. tf2onnx's own form, cond * a + (1 - cond) * b, is NaN if the other value is
infinite or NaN (0 / 0 without an unmasked step, the logarithm of a negative number). Integer
division rounds down, while tf2onnx's form rounds towards zero.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import tf2onnx
from tf2onnx.onnx_opset.controlflow import Select
from tf2onnx.onnx_opset.math import FloorDiv, FloorMod

from rnn_deploy.keras.tracing import MARKER
from rnn_deploy.onnx.format import OPSET

# The first number in the names of a step, far from those of the graph around it.
OF_STEP = 1_000_000


def convert(graph: Any, first: int = 1) -> ir.Model:
    """Return a frozen ConcreteFunction as ONNX with markers; inputs without a reader are removed.

    first: the first number in generated names, so that the same graph always has the same names.
    """
    with _quiet_tf2onnx(), _numbering_from(first):
        proto, _ = tf2onnx.convert.from_graph_def(
            graph.graph.as_graph_def(),
            input_names=[tensor.name for tensor in graph.inputs],
            output_names=[tensor.name for tensor in graph.outputs],
            opset=OPSET,
            custom_ops={"PyFuncStateless": MARKER},
            custom_op_handlers={name: (handler, []) for name, handler in _HANDLERS.items()},
            extra_opset=[onnx.helper.make_opsetid(MARKER, 1)],
        )
    model = ir.from_proto(proto)
    for node in model.graph.all_nodes():
        for value in node.outputs:
            _forget_made_up(value)
    return model


def _forget_made_up(value: ir.Value) -> None:
    """Remove names that tf2onnx generated for open dimensions, because their order is random."""
    if value.shape is not None:
        dims = (dim if isinstance(dim, int) else dim.value for dim in value.shape)
        value.shape = ir.Shape(None if str(dim).startswith("unk__") else dim for dim in dims)


def _erfc(context: Any, node: Any, name: str, args: Any) -> None:
    """Write 1 - erf(x), for Keras' gelu."""
    one = context.make_const(f"{node.name}_one", np.ones((), _dtype(context, node)))
    erf = context.make_node("Erf", list(node.input), name=f"{node.name}_erf")
    _replace(context, node, "Sub", [one.output[0], erf.output[0]])


def _expm1(context: Any, node: Any, name: str, args: Any) -> None:
    """Write exp(x) - 1, for Keras' celu."""
    one = context.make_const(f"{node.name}_one", np.ones((), _dtype(context, node)))
    exp = context.make_node("Exp", list(node.input), name=f"{node.name}_exp")
    _replace(context, node, "Sub", [exp.output[0], one.output[0]])


def _select(context: Any, node: Any, name: str, args: Any) -> None:
    """Write Where, which ignores the value that was not chosen."""
    node.set_attr("handles_nan", True)  # tf2onnx reads this attribute
    Select.version_9(context, node)


def _floor_mod(context: Any, node: Any, name: str, args: Any) -> None:
    """Write the remainder, which has the divisor's sign; for integers, ONNX's Mod."""
    if np.dtype(_dtype(context, node)).kind == "f":
        FloorMod.version_7(context, node)
    else:
        _replace(context, node, "Mod", list(node.input))


def _floor_div(context: Any, node: Any, name: str, args: Any) -> None:
    """Write the quotient, rounded down; for integers the exact (x - remainder) / y."""
    if np.dtype(_dtype(context, node)).kind == "f":
        FloorDiv.version_6(context, node)
        return
    x, y = node.input
    rest = context.make_node("Mod", [x, y], name=f"{node.name}_rest")
    whole = context.make_node("Sub", [x, rest.output[0]], name=f"{node.name}_whole")
    _replace(context, node, "Div", [whole.output[0], y])


_HANDLERS = {
    **{"Erfc": _erfc, "Expm1": _expm1, "Select": _select, "SelectV2": _select},
    **{"FloorMod": _floor_mod, "FloorDiv": _floor_div},
}


def _replace(context: Any, node: Any, operator: str, inputs: list[str]) -> None:
    shapes, dtypes = node.output_shapes, node.output_dtypes
    context.remove_node(node.name)
    context.make_node(
        operator, inputs, name=node.name, outputs=node.output, shapes=shapes, dtypes=dtypes
    )


def _dtype(context: Any, node: Any) -> Any:
    return tf2onnx.utils.map_onnx_to_numpy_type(context.get_dtype(node.input[0]))


@contextmanager
def _numbering_from(first: int) -> Iterator[None]:
    """While open, tf2onnx numbers generated names from `first`, not by process."""
    before, tf2onnx.utils.INTERNAL_NAME = tf2onnx.utils.INTERNAL_NAME, first
    try:
        yield
    finally:
        tf2onnx.utils.INTERNAL_NAME = before


@contextmanager
def _quiet_tf2onnx() -> Iterator[None]:
    """Hide a warning: tf2onnx does not know the shapes of the markers, which we set."""
    logger = logging.getLogger("tf2onnx")
    tensorflow_logger = logging.getLogger("tensorflow")
    levels = logger.level, tensorflow_logger.level
    logger.setLevel(logging.CRITICAL)
    tensorflow_logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(levels[0])
        tensorflow_logger.setLevel(levels[1])
