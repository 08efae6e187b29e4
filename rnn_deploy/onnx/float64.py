"""Replace operators that ONNX Runtime has only for float32 in models that compute in float64.

ONNX Runtime's own Shrink accepts float64 but computes it with the precision of float32.
"""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.onnx.ops import NodeWriter

DOUBLE = np.dtype(np.float64)
Written = Callable[[NodeWriter, ir.Node], ir.Value]


def write_for_double(model: ir.Model) -> None:
    """Replace the operators without a float64 form in a model that computes in float64.

    Raise UnsupportedModelError for an operator that cannot be replaced.
    """
    for node in [node for node in model.graph.all_nodes() if node.op_type in (*FORMS, *NONE)]:
        if node.op_type in NONE:
            raise UnsupportedModelError(
                "E-MODEL-FLOAT64",
                f"{node.name}: ONNX Runtime has no float64 form of {node.op_type};"
                " export a float32 copy of the model",
            )
        ops = NodeWriter(node.name or node.op_type, DOUBLE)
        value = FORMS[node.op_type](ops, node)
        graph = node.graph
        graph.insert_before(node, ops.nodes)
        for initializer in ops.initializers:
            graph.register_initializer(initializer)
        value.type, value.shape = node.outputs[0].type, node.outputs[0].shape
        node.outputs[0].replace_all_uses_with(value, replace_graph_outputs=True)
        graph.remove(node, safe=True)


def _elu(ops: NodeWriter, node: ir.Node) -> ir.Value:
    return _exponential_below(ops, node, alpha=_number(node, "alpha", 1.0), gamma=1.0)


def _selu(ops: NodeWriter, node: ir.Node) -> ir.Value:
    # TensorFlow's values, because the attributes are float32.
    alpha, gamma = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
    return _exponential_below(ops, node, alpha, gamma)


def _exponential_below(ops: NodeWriter, node: ir.Node, alpha: float, gamma: float) -> ir.Value:
    """Write gamma x for positive x, gamma alpha (exp(x) - 1) otherwise."""
    x, zero = node.inputs[0], ops.scalar("zero", 0.0)
    exp = ops("Exp", ops("Min", x, zero))
    below = ops("Mul", ops("Sub", exp, ops.scalar("one", 1.0)), ops.scalar("alpha", alpha))
    return ops("Mul", ops("Add", ops("Max", x, zero), below), ops.scalar("gamma", gamma))


def _hard_sigmoid(ops: NodeWriter, node: ir.Node) -> ir.Value:
    # Keras' own slope as a quotient, because the attribute is float32.
    scaled = ops("Div", node.inputs[0], ops.scalar("six", 6.0))
    line = ops("Add", scaled, ops.scalar("half", 0.5))
    return ops("Clip", line, ops.scalar("low", 0.0), ops.scalar("high", 1.0))


def _softsign(ops: NodeWriter, node: ir.Node) -> ir.Value:
    x = node.inputs[0]
    return ops("Div", x, ops("Add", ops("Abs", x), ops.scalar("one", 1.0)))


def _softplus(ops: NodeWriter, node: ir.Node) -> ir.Value:
    x = node.inputs[0]
    exp = ops("Exp", ops("Neg", ops("Abs", x)))
    log = ops("Log", ops("Add", exp, ops.scalar("one", 1.0)))
    return ops("Add", ops("Max", x, ops.scalar("zero", 0.0)), log)


def _shrink(ops: NodeWriter, node: ir.Node) -> ir.Value:
    x, edge, bias = node.inputs[0], _number(node, "lambd", 0.5), _number(node, "bias", 0.0)
    outside = ops("Greater", ops("Abs", x), ops.scalar("edge", edge))
    moved = ops("Sub", x, ops("Mul", ops("Sign", x), ops.scalar("bias", bias)))
    return ops("Where", outside, moved, ops.scalar("zero", 0.0))


def _number(node: ir.Node, name: str, default: float) -> float:
    return float(node.attributes[name].as_float()) if name in node.attributes else default


FORMS: dict[str, Written] = {
    "Elu": _elu,
    "Selu": _selu,
    "HardSigmoid": _hard_sigmoid,
    "Softsign": _softsign,
    "Softplus": _softplus,
    "Shrink": _shrink,
}
NONE = ("Erf",)
