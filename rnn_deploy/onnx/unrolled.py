"""A layer with every step written out, without a loop, for a sequence of fixed length."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rnn_deploy.onnx.ops import LoweredLayer, NodeWriter
from rnn_deploy.onnx.step import (
    advance,
    project,
    project_rows,
    step_of,
    support_nodes,
    zero_states,
    zeros,
)
from rnn_deploy.spec import Recurrence, Support

MOST_STEPS = 512


def support(layer: Recurrence) -> Support:
    """Return whether the steps can be written out: their number must be fixed and small."""
    nodes = support_nodes(layer)
    if not nodes.ok:
        return nodes
    if layer.steps is None:
        return Support(False, "needs a fixed number of steps, and time is open; add --time N")
    if layer.steps > MOST_STEPS:
        return Support(False, f"{layer.steps} steps are too many to write out ({MOST_STEPS})")
    return Support(True, f"{layer.steps} steps, written out")


def lower(
    ops: NodeWriter,
    layer: Recurrence,
    x: ir.Value,
    states: Sequence[ir.Value] | None,
    mask: ir.Value | None,
) -> LoweredLayer:
    """Lower x (batch, steps, *width), states (batch, *shape) or None, mask (batch, steps)."""
    step, axis1 = step_of(ops, layer), ops.constant("axis1", np.array([1], np.int64))
    columns = _columns(ops, layer, x, axis1)
    order = list(_order(layer))
    outputs: list[ir.Value] = []
    if states is None and mask is None:
        new = step.from_zero(ops, columns[order.pop(0)])
        states = new.states
        outputs.append(new.output)
    states = tuple(states or zero_states(ops, layer, x))
    previous = zeros(ops, layer, x, layer.output_shape) if layer.carries_output else None
    for t in order:
        m_t = None
        if mask is not None:
            m_t = ops("Gather", mask, ops.constant("m", np.array([t], np.int64)), axis=1)
        new = advance(ops, step, layer, columns[t], states, m_t, previous)
        states, previous = new.states, new.output if layer.carries_output else None
        outputs.append(new.output)
    if not layer.return_sequences:
        return LoweredLayer(outputs[-1], states)
    steps = [ops("Unsqueeze", output, axis1) for output in outputs]
    return LoweredLayer(steps[0] if len(steps) == 1 else ops("Concat", *steps, axis=1), states)


def _columns(ops: NodeWriter, layer: Recurrence, x: ir.Value, axis1: ir.Value) -> list[ir.Value]:
    """Return the inputs' part of each step."""
    if layer.steps == 1:
        return [project_rows(ops, layer, ops("Squeeze", x, axis1))]
    projected = project(ops, layer, x)
    places = (ops.constant("t", np.array(t, np.int64)) for t in range(layer.steps or 0))
    return [ops("Gather", projected, place, axis=1) for place in places]


def _order(layer: Recurrence) -> range:
    steps = layer.steps or 0
    return range(steps - 1, -1, -1) if layer.go_backwards else range(steps)
