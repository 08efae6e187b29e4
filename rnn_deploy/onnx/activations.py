"""Keras' activations in ONNX: as attributes of RNN, and as nodes for the other lowerings.

Constants are Keras' own. If ONNX has another default (HardSigmoid's slope is 0.2 there and 1/6 in
Keras), they are written out.
"""

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from rnn_deploy.numerics.cells import HARD_SIGMOID_OF_KERAS_2
from rnn_deploy.onnx.ops import NodeWriter


@dataclass(frozen=True)
class RnnActivation:
    """An activation by its name in the operator RNN, with the parameters that must be written."""

    name: str
    alpha: float | None = None
    beta: float | None = None


AS_ATTRIBUTE = {
    "tanh": RnnActivation("Tanh"),
    "linear": RnnActivation("Affine", 1.0, 0.0),
    "relu": RnnActivation("Relu"),
    "sigmoid": RnnActivation("Sigmoid"),
    "hard_sigmoid": RnnActivation("HardSigmoid", 1.0 / 6.0, 0.5),
    HARD_SIGMOID_OF_KERAS_2: RnnActivation("HardSigmoid", 0.2, 0.5),
    "softsign": RnnActivation("Softsign"),
    "softplus": RnnActivation("Softplus"),
    "elu": RnnActivation("Elu", 1.0),
    "leaky_relu": RnnActivation("LeakyRelu", 0.2),
    "celu": RnnActivation("Elu", 1.0),
}


Nodes = Callable[[NodeWriter, ir.Value], ir.Value]


def _clipped(low: float, high: float) -> Nodes:
    return lambda ops, x: ops("Clip", x, ops.scalar("low", low), ops.scalar("high", high))


def _scaled(ops: NodeWriter, x: ir.Value, factor: float) -> ir.Value:
    return ops("Mul", x, ops.scalar("factor", factor))


def _hard_sigmoid(ops: NodeWriter, x: ir.Value) -> ir.Value:
    return ops("HardSigmoid", x, alpha=1.0 / 6.0, beta=0.5)


def _mish(ops: NodeWriter, x: ir.Value) -> ir.Value:
    return ops("Mul", x, ops("Tanh", ops("Softplus", x)))


def _gelu(ops: NodeWriter, x: ir.Value) -> ir.Value:
    erf = ops("Erf", _scaled(ops, x, 0.5**0.5))
    return ops("Mul", _scaled(ops, x, 0.5), ops("Add", erf, ops.scalar("one", 1.0)))


def _squareplus(ops: NodeWriter, x: ir.Value) -> ir.Value:
    root = ops("Sqrt", ops("Add", ops("Mul", x, x), ops.scalar("four", 4.0)))
    return _scaled(ops, ops("Add", x, root), 0.5)


AS_NODES: dict[str, Nodes] = {
    "tanh": lambda ops, x: ops("Tanh", x),
    "linear": lambda ops, x: x,
    "relu": lambda ops, x: ops("Relu", x),
    "sigmoid": lambda ops, x: ops("Sigmoid", x),
    "hard_sigmoid": _hard_sigmoid,
    HARD_SIGMOID_OF_KERAS_2: lambda ops, x: ops("HardSigmoid", x, alpha=0.2, beta=0.5),
    "softsign": lambda ops, x: ops("Softsign", x),
    "softplus": lambda ops, x: ops("Softplus", x),
    "elu": lambda ops, x: ops("Elu", x, alpha=1.0),
    "selu": lambda ops, x: ops(
        "Selu", x, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875
    ),
    "leaky_relu": lambda ops, x: ops("LeakyRelu", x, alpha=0.2),
    "relu6": _clipped(0.0, 6.0),
    "silu": lambda ops, x: ops("Mul", x, ops("Sigmoid", x)),
    "mish": _mish,
    "exponential": lambda ops, x: ops("Exp", x),
    "gelu": _gelu,
    "celu": lambda ops, x: ops("Elu", x, alpha=1.0),
    "hard_silu": lambda ops, x: ops("Mul", x, _hard_sigmoid(ops, x)),
    "hard_tanh": _clipped(-1.0, 1.0),
    "log_sigmoid": lambda ops, x: ops("Neg", ops("Softplus", ops("Neg", x))),
    "tanh_shrink": lambda ops, x: ops("Sub", x, ops("Tanh", x)),
    "soft_shrink": lambda ops, x: ops("Shrink", x, lambd=0.5, bias=0.5),
    "hard_shrink": lambda ops, x: ops("Shrink", x, lambd=0.5, bias=0.0),
    "squareplus": _squareplus,
}
