"""Keras' activations in ONNX: as attributes of RNN, and as nodes for the other lowerings.

Constants are Keras' own; where ONNX has another default (HardSigmoid's slope is 0.2 there and
1/6 in Keras) they are written out.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rnn_deploy.lowering.onnx_ops import Ops


@dataclass(frozen=True)
class RnnActivation:
    """An activation as the operator RNN names it, with the parameters it needs written out."""

    name: str
    alpha: float | None = None
    beta: float | None = None


AS_ATTRIBUTE = {
    "tanh": RnnActivation("Tanh"),
    "linear": RnnActivation("Affine", 1.0, 0.0),
    "relu": RnnActivation("Relu"),
    "sigmoid": RnnActivation("Sigmoid"),
    "hard_sigmoid": RnnActivation("HardSigmoid", 1.0 / 6.0, 0.5),
    "softsign": RnnActivation("Softsign"),
    "softplus": RnnActivation("Softplus"),
    "elu": RnnActivation("Elu", 1.0),
    "leaky_relu": RnnActivation("LeakyRelu", 0.2),
}


def _relu6(ops: Ops, x: ir.Value) -> ir.Value:
    low, high = (ops.constant(n, np.array(v, np.float32)) for n, v in (("low", 0.0), ("high", 6.0)))
    return ops("Clip", x, low, high)


def _silu(ops: Ops, x: ir.Value) -> ir.Value:
    return ops("Mul", x, ops("Sigmoid", x))


def _mish(ops: Ops, x: ir.Value) -> ir.Value:
    return ops("Mul", x, ops("Tanh", ops("Softplus", x)))


AS_NODES: dict[str, Callable[[Ops, ir.Value], ir.Value]] = {
    "tanh": lambda ops, x: ops("Tanh", x),
    "linear": lambda ops, x: x,
    "relu": lambda ops, x: ops("Relu", x),
    "sigmoid": lambda ops, x: ops("Sigmoid", x),
    "hard_sigmoid": lambda ops, x: ops("HardSigmoid", x, alpha=1.0 / 6.0, beta=0.5),
    "softsign": lambda ops, x: ops("Softsign", x),
    "softplus": lambda ops, x: ops("Softplus", x),
    "elu": lambda ops, x: ops("Elu", x, alpha=1.0),
    "selu": lambda ops, x: ops(
        "Selu", x, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875
    ),
    "leaky_relu": lambda ops, x: ops("LeakyRelu", x, alpha=0.2),
    "relu6": _relu6,
    "silu": _silu,
    "mish": _mish,
    "exponential": lambda ops, x: ops("Exp", x),
}
