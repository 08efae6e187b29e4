"""Keras' weight layout to the layouts of the operators it is lowered to (NumPy only).

Keras keeps kernel (width, units) for x @ kernel; ONNX RNN keeps W (directions, units, width),
R (directions, units, units) and B (directions, 2 * units) = input bias, recurrent bias
(ONNX operator specification, RNN).
"""

import numpy as np
from numpy.typing import NDArray

from rnn_deploy.spec import RecurrentLayer

Float = NDArray[np.float32]


def onnx_rnn(layer: RecurrentLayer) -> tuple[Float, Float, Float | None]:
    """W (1, units, width), R (1, units, units) and B (1, 2 * units) or None for ONNX RNN."""
    W = np.ascontiguousarray(layer.kernel.T[None])
    R = np.ascontiguousarray(layer.recurrent_kernel.T[None])
    if layer.bias is None:
        return W, R, None
    return W, R, np.concatenate([layer.bias, np.zeros_like(layer.bias)])[None]
