"""SimpleRNN as ONNX's operator RNN: transpose in, one operator, transpose out.

RNN is time first and keeps a directions axis of 1. With `direction="reverse"` it returns its
outputs in the order of the input, while Keras' go_backwards returns them in the order processed,
hence the flip.
"""

import numpy as np
import onnx_ir as ir

from rnn_deploy.layouts import onnx_rnn
from rnn_deploy.lowering.onnx_activations import AS_ATTRIBUTE
from rnn_deploy.lowering.onnx_ops import Lowered, Ops
from rnn_deploy.spec import RecurrentLayer, Support


def support(layer: RecurrentLayer) -> Support:
    """Whether the operator RNN can express the layer."""
    if layer.activation not in AS_ATTRIBUTE:
        return Support(False, f"the operator RNN has no activation '{layer.activation}'")
    return Support(True, "one operator, which every ONNX runtime knows")


def lower(ops: Ops, layer: RecurrentLayer, x: ir.Value, h: ir.Value | None) -> Lowered:
    """x (batch, time, width), h (batch, units) or None for zero."""
    weights = onnx_rnn(layer)
    W, R, B = (
        None if value is None else ops.constant(name, value)
        for name, value in zip("WRB", weights, strict=True)
    )
    axis0 = ops.constant("axis0", np.array([0], np.int64))
    h_first = None if h is None else ops("Unsqueeze", h, axis0)  # (1, batch, units)
    steps = ops("Transpose", x, perm=[1, 0, 2])  # (time, batch, width)
    outputs, final = ops.outputs("RNN", 2, steps, W, R, B, None, h_first, **_attributes(layer))
    state = ops("Squeeze", final, axis0)  # (batch, units)
    if not layer.return_sequences:
        return Lowered(state, state)
    axis1 = ops.constant("axis1", np.array([1], np.int64))
    sequence = ops("Squeeze", outputs, axis1)  # (time, batch, units)
    if layer.go_backwards:
        sequence = _flipped(ops, sequence)
    return Lowered(ops("Transpose", sequence, perm=[1, 0, 2]), state)


def _attributes(layer: RecurrentLayer) -> dict[str, object]:
    activation = AS_ATTRIBUTE[layer.activation]
    attributes: dict[str, object] = {
        "hidden_size": layer.units,
        "direction": "reverse" if layer.go_backwards else "forward",
        "activations": [activation.name],
    }
    if activation.alpha is not None:
        attributes["activation_alpha"] = [activation.alpha]
    if activation.beta is not None:
        attributes["activation_beta"] = [activation.beta]
    return attributes


def _flipped(ops: Ops, x: ir.Value) -> ir.Value:
    start, end, axis, step = (
        ops.constant(name, np.array([value], np.int64))
        for name, value in (("last", -1), ("before", -(2**62)), ("time", 0), ("back", -1))
    )
    return ops("Slice", x, start, end, axis, step)
