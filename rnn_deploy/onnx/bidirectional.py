"""Both halves of a Bidirectional: in one operator if they are alike, and merged in any case.

The operator with direction="bidirectional" returns Y (time, 2, batch, units), both halves in the
order of the input, and final states (2, batch, units).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from rnn_deploy.numerics.layouts import onnx_weights
from rnn_deploy.onnx.native import OPERATORS, attributes
from rnn_deploy.onnx.ops import NodeWriter
from rnn_deploy.spec import BidirectionalLayers, RecurrentLayer

States = Sequence[ir.Value]


def fits(pair: BidirectionalLayers, lowerings: Mapping[str, str]) -> bool:
    """Return whether one operator can compute both halves: one native cell each, alike except in
    their weights."""
    halves = (*pair.forward, *pair.backward)
    if len(halves) != 2:
        return False
    forward, backward = halves
    if not isinstance(forward, RecurrentLayer) or not isinstance(backward, RecurrentLayer):
        return False
    directions = (forward.go_backwards, backward.go_backwards)
    native = all(lowerings[half.name] == "native" for half in halves)
    unmasked = not forward.masked
    return native and unmasked and directions == (False, True) and _alike(forward, backward)


def lower(
    ops: NodeWriter, pair: BidirectionalLayers, x: ir.Value, states: Sequence[States | None]
) -> tuple[tuple[ir.Value, ...], tuple[ir.Value, ...]]:
    """Write both halves over x (batch, time, width); return their outputs and final states.

    The states of each half are given, or None for zero.
    """
    forward, backward = pair.forward[0], pair.backward[0]
    assert isinstance(forward, RecurrentLayer)
    assert isinstance(backward, RecurrentLayer)
    W, R, B = (
        None if a is None else ops.constant(name, np.concatenate([a, b]))
        for name, a, b in zip("WRB", onnx_weights(forward), onnx_weights(backward), strict=True)
    )
    axis0 = ops.constant("axis0", np.array([0], np.int64))
    initial = [_both(ops, list(of_role), axis0) for of_role in zip(*_given(states), strict=True)]
    steps = ops("Transpose", x, perm=[1, 0, 2])  # (time, batch, width)
    roles = len(forward.roles)
    outputs, *finals = ops.outputs(
        OPERATORS[forward.cell],
        1 + roles,
        steps,
        W,
        R,
        B,
        None,
        *initial,
        **attributes(forward, "bidirectional", times=2),
    )
    halves = [ops.outputs("Split", 2, final, axis=0) for final in finals]  # (1, batch, units)
    after = [ops("Squeeze", half[i], axis0) for i in (0, 1) for half in halves]
    merged = (
        _merged_steps(ops, pair.merge, outputs)
        if forward.return_sequences
        else _merged_last(ops, pair.merge, finals[0], (after[0], after[roles]))
    )
    return merged, tuple(after)


def merge(
    ops: NodeWriter, mode: str | None, forward: ir.Value, backward: ir.Value
) -> tuple[ir.Value, ...]:
    """Return the two outputs, combined by Keras' merge_mode."""
    if mode is None:
        return forward, backward
    if mode == "concat":
        return (ops("Concat", forward, backward, axis=-1),)
    if mode == "mul":
        return (ops("Mul", forward, backward),)
    both = ops("Add", forward, backward)
    return (both if mode == "sum" else ops("Mul", both, ops.scalar("half", 0.5)),)


def _merged_steps(ops: NodeWriter, mode: str | None, outputs: ir.Value) -> tuple[ir.Value, ...]:
    if mode == "concat":
        by_step = ops("Transpose", outputs, perm=[2, 0, 1, 3])  # (batch, time, 2, units)
        side_by_side = ops.constant("side_by_side", np.array([0, 0, -1], np.int64))
        return (ops("Reshape", by_step, side_by_side),)
    axis1 = ops.constant("axis1", np.array([1], np.int64))
    if mode in ("sum", "ave"):
        both = ops("ReduceSum", outputs, axis1, keepdims=0)
        merged: tuple[ir.Value, ...] = (_averaged(ops, mode, both),)
    else:
        halves = ops.outputs("Split", 2, outputs, axis=1)
        merged = merge(ops, mode, *(ops("Squeeze", half, axis1) for half in halves))
    return tuple(ops("Transpose", value, perm=[1, 0, 2]) for value in merged)


def _merged_last(
    ops: NodeWriter, mode: str | None, final: ir.Value, halves: tuple[ir.Value, ir.Value]
) -> tuple[ir.Value, ...]:
    if mode == "concat":
        side_by_side = ops.constant("side_by_side", np.array([0, -1], np.int64))
        return (ops("Reshape", ops("Transpose", final, perm=[1, 0, 2]), side_by_side),)
    if mode in ("sum", "ave"):
        axis0 = ops.constant("axis0", np.array([0], np.int64))
        return (_averaged(ops, mode, ops("ReduceSum", final, axis0, keepdims=0)),)
    return merge(ops, mode, *halves)


def _averaged(ops: NodeWriter, mode: str, total: ir.Value) -> ir.Value:
    return total if mode == "sum" else ops("Mul", total, ops.scalar("half", 0.5))


def _given(states: Sequence[States | None]) -> list[States]:
    return [half for half in states if half is not None]


def _both(ops: NodeWriter, halves: States, axis0: ir.Value) -> ir.Value:
    """Return the states of both halves, (batch, units) each, as one (2, batch, units)."""
    return ops("Concat", *(ops("Unsqueeze", half, axis0) for half in halves), axis=0)


def _alike(forward: RecurrentLayer, backward: RecurrentLayer) -> bool:
    return all(
        getattr(forward, name) == getattr(backward, name)
        for name in ("cell", "units", "activation", "recurrent_activation", "reset_after")
    ) and (forward.bias is None, forward.return_sequences, forward.initial_state) == (
        backward.bias is None,
        backward.return_sequences,
        backward.initial_state,
    )
