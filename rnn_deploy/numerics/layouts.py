"""Convert Keras' weight layout to the layouts of other operators (NumPy only).

Keras stores gates side by side in columns: kernel (width, gates * units) for x @ kernel. ONNX
stores them one below the other: W (directions, gates * units, width), R (directions, gates * units,
units), B (directions, 2 * gates * units) = input biases, recurrent biases (ONNX operator
specification: RNN, GRU, LSTM). The order of gates:

            Keras       ONNX
    GRU     z r h       z r h
    LSTM    i f c o     i o f c
"""

import numpy as np
from numpy.typing import NDArray

from rnn_deploy.spec import RecurrentLayer

Float = NDArray[np.float32]
ONNX_GATES = {"simple_rnn": (0,), "gru": (0, 1, 2), "lstm": (0, 3, 1, 2)}
GATES = {cell: len(order) for cell, order in ONNX_GATES.items()}


def onnx_weights(layer: RecurrentLayer) -> tuple[Float, Float, Float | None]:
    """Return W (1, g * units, width), R (1, g * units, units), B (1, 2 g * units) or None."""
    W = np.ascontiguousarray(_reordered(layer, layer.kernel).T[None])
    R = np.ascontiguousarray(_reordered(layer, layer.recurrent_kernel).T[None])
    if layer.bias is None:
        return W, R, None
    bias = np.atleast_2d(layer.bias)
    both = np.concatenate([bias, np.zeros_like(bias)])[:2]
    return W, R, _reordered(layer, both).reshape(1, -1)


def _reordered(layer: RecurrentLayer, columns: Float) -> Float:
    gates = np.split(columns, len(ONNX_GATES[layer.cell]), axis=-1)
    return np.concatenate([gates[i] for i in ONNX_GATES[layer.cell]], axis=-1)
