"""The recurrences in NumPy float64: one small body per cell, to be held beside the paper.

An oracle that shares no code with Keras or any runtime. Inside this module and `layouts`
letters follow the literature: x input, h state, W input weights, R recurrent weights, b bias.

    simple_rnn   h_t = f(x_t W + b + h_(t-1) R)          Elman 1990, as Keras writes it
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rnn_deploy.spec import RecurrentLayer

Float = NDArray[np.float64]


def _softplus(x: Float) -> Float:
    return np.logaddexp(x, 0.0)


def _sigmoid(x: Float) -> Float:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


ACTIVATIONS: dict[str, Callable[[Float], Float]] = {
    "tanh": np.tanh,
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0.0),
    "sigmoid": _sigmoid,
    "hard_sigmoid": lambda x: np.clip(x / 6.0 + 0.5, 0.0, 1.0),
    "softsign": lambda x: x / (1.0 + np.abs(x)),
    "softplus": _softplus,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0.0))),
    "selu": lambda x: (
        1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0.0)))
    ),
    # TensorFlow keeps this slope as float32, whatever it computes in.
    "leaky_relu": lambda x: np.where(x > 0, x, np.float64(np.float32(0.2)) * x),
    "relu6": lambda x: np.clip(x, 0.0, 6.0),
    "silu": lambda x: x * _sigmoid(x),
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "exponential": np.exp,
}


def run(layer: RecurrentLayer, x: Float, h: Float) -> tuple[Float, Float]:
    """Run `layer` over x (batch, time, width) from state h (batch, units), in float64.

    Returns every step's output in the order processed (batch, time, units), and the last state.
    """
    f = ACTIVATIONS[layer.activation]
    W, R = layer.kernel.astype(np.float64), layer.recurrent_kernel.astype(np.float64)
    b = 0.0 if layer.bias is None else layer.bias.astype(np.float64)
    steps = x[:, ::-1] if layer.go_backwards else x
    outputs = []
    for t in range(steps.shape[1]):
        h = f(steps[:, t] @ W + b + h @ R)
        outputs.append(h)
    return np.stack(outputs, axis=1), h
