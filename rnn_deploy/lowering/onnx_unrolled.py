"""SimpleRNN with every step written out, for a sequence of fixed length: no loop at all."""

import numpy as np
import onnx_ir as ir

from rnn_deploy.lowering.onnx_activations import AS_NODES
from rnn_deploy.lowering.onnx_ops import Lowered, Ops
from rnn_deploy.lowering.onnx_scan import project
from rnn_deploy.spec import RecurrentLayer, Support

MOST_STEPS = 512


def support(layer: RecurrentLayer) -> Support:
    """Whether the steps can be written out: their number must be fixed, and not too large."""
    if layer.activation not in AS_NODES:
        return Support(False, f"no ONNX operators are known for '{layer.activation}'")
    if layer.steps is None:
        return Support(False, "needs a fixed number of steps, and time is open; add --time N")
    if layer.steps > MOST_STEPS:
        return Support(False, f"{layer.steps} steps are too many to write out ({MOST_STEPS})")
    return Support(True, f"{layer.steps} steps, written out")


def lower(ops: Ops, layer: RecurrentLayer, x: ir.Value, h: ir.Value | None) -> Lowered:
    """x (batch, time, width) of `layer.steps` steps, h (batch, units) or None for zero."""
    R = ops.constant("R", layer.recurrent_kernel)
    projected = project(ops, layer, x)
    outputs: list[ir.Value] = []
    for t in _order(layer):
        step = ops("Gather", projected, ops.constant("t", np.array(t, np.int64)), axis=1)
        # From zero, the first step's recurrent product is zero too.
        before = step if h is None else ops("Gemm", h, R, step)
        h = AS_NODES[layer.activation](ops, before)
        outputs.append(h)
    state = outputs[-1]
    if not layer.return_sequences:
        return Lowered(state, state)
    axis1 = ops.constant("axis1", np.array([1], np.int64))
    columns = [ops("Unsqueeze", output, axis1) for output in outputs]
    return Lowered(ops("Concat", *columns, axis=1), state)


def _order(layer: RecurrentLayer) -> range:
    steps = layer.steps or 0
    return range(steps - 1, -1, -1) if layer.go_backwards else range(steps)
