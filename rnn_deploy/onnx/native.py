"""A layer as ONNX's operator RNN, GRU or LSTM: transpose, one operator, transpose back.

The operators have no masks; `masks` moves the masked steps behind the others.

The operators need time first and have an axis for directions, of length 1. With
`direction="reverse"` they return their outputs in the order of the input. Keras' go_backwards
returns them in the order of processing, so they are reversed.

The outputs are transposed before the axis of directions is removed, and only the transposition
reads them. OpenVINO then fuses it with its own. If it cannot, it converts the transposition before
an operator to a Reshape, also for other readers of that value, and so mixes up rows of the batch
(2026.4, batch or time fixed).
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rnn_deploy.numerics.layouts import onnx_weights
from rnn_deploy.onnx.activations import AS_ATTRIBUTE
from rnn_deploy.onnx.masks import lower_masked
from rnn_deploy.onnx.ops import LoweredLayer, NodeWriter, flip
from rnn_deploy.spec import Recurrence, RecurrentLayer, Support

OPERATORS = {"simple_rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}


def support(layer: Recurrence) -> Support:
    """Return whether the operator can express the layer."""
    if not isinstance(layer, RecurrentLayer):
        return Support(False, f"no operator is {layer.cell}")
    if layer.dtype != np.float32:
        return Support(False, f"the operators of the runtimes do not compute in {layer.dtype}")
    foreign = [name for name in _activations(layer) if name not in AS_ATTRIBUTE]
    if foreign:
        operator = OPERATORS[layer.cell]
        return Support(False, f"the operator {operator} has no activation '{foreign[0]}'")
    return Support(True, "one operator, which every ONNX runtime knows")


def lower(
    ops: NodeWriter,
    layer: RecurrentLayer,
    x: ir.Value,
    states: Sequence[ir.Value] | None,
    mask: ir.Value | None,
) -> LoweredLayer:
    """Lower x (batch, time, width), states (batch, units) or None for zero, mask (batch, time)."""
    if mask is not None:

        def run(steps: ir.Value, lengths: ir.Value | None) -> tuple[ir.Value, Sequence[ir.Value]]:
            return _operator(ops, layer, steps, states, lengths, "forward")

        return lower_masked(ops, layer, x, states, mask, run)
    steps = ops("Transpose", x, perm=[1, 0, 2])  # (time, batch, width)
    direction = "reverse" if layer.go_backwards else "forward"
    sequence, after = _operator(ops, layer, steps, states, None, direction)
    if not layer.return_sequences:
        return LoweredLayer(after[0], after)
    return LoweredLayer(flip(ops, sequence, axis=1) if layer.go_backwards else sequence, after)


def _operator(
    ops: NodeWriter,
    layer: RecurrentLayer,
    steps: ir.Value,
    states: Sequence[ir.Value] | None,
    lengths: ir.Value | None,
    direction: str,
) -> tuple[ir.Value, tuple[ir.Value, ...]]:
    """Write the operator over steps (time, batch, width); return outputs and final states."""
    weights = onnx_weights(layer)
    W, R, B = (
        None if value is None else ops.constant(name, value)
        for name, value in zip("WRB", weights, strict=True)
    )
    axis0 = ops.constant("axis0", np.array([0], np.int64))
    initial = [ops("Unsqueeze", state, axis0) for state in states or ()]  # (1, batch, units)
    operator, count = OPERATORS[layer.cell], 1 + len(layer.roles)
    outputs, *finals = ops.outputs(
        operator, count, steps, W, R, B, lengths, *initial, **attributes(layer, direction)
    )
    axis2 = ops.constant("axis2", np.array([2], np.int64))
    after = tuple(ops("Squeeze", final, axis0) for final in finals)  # (batch, units)
    by_row = ops("Transpose", outputs, perm=[2, 0, 1, 3])  # (batch, time, 1, units)
    return ops("Squeeze", by_row, axis2), after


def _activations(layer: RecurrentLayer) -> list[str]:
    """Return Keras' names in the operator's order: the gates' first, then the others."""
    f, sigma = layer.activation, layer.recurrent_activation
    return {"simple_rnn": [f], "gru": [sigma, f], "lstm": [sigma, f, f]}[layer.cell]


def attributes(layer: RecurrentLayer, direction: str, times: int = 1) -> dict[str, object]:
    """Return the operator's attributes. times: the number of directions."""
    activations = [AS_ATTRIBUTE[name] for name in _activations(layer)] * times
    attributes: dict[str, object] = {
        "hidden_size": layer.units,
        "direction": direction,
        "activations": [activation.name for activation in activations],
    }
    # The activations take the parameters that they need in order.
    alphas = [a.alpha for a in activations if a.alpha is not None]
    betas = [a.beta for a in activations if a.beta is not None]
    if alphas:
        attributes["activation_alpha"] = alphas
    if betas:
        attributes["activation_beta"] = betas
    if layer.cell == "gru":
        attributes["linear_before_reset"] = int(layer.reset_after)
    return attributes
