"""Masks for an operator without mask support: move the unmasked steps to the front.

The operator then runs over them without gaps, and the output of every step, including the last, is
looked up at its new place. The operator also computes the masked steps behind them, which are never
read; only LSTM's c needs `sequence_lens`, which some runtimes ignore. For the steps t of a row:

    n        the number of unmasked steps
    r[t]     the number of unmasked steps up to and including t
    to[t]    the new place of t: r[t] - 1 if it is unmasked, else behind the first n
    from[]   the inverse of `to`: the step that is moved to each place

Every mask is accepted: padding on either side, holes, rows without an unmasked step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rnn_deploy.onnx.ops import LoweredLayer, NodeWriter, flip
from rnn_deploy.spec import Recurrence

# Runs the operator over (time, batch, width) for `lengths` (batch,) steps each, or for all steps.
# Returns every step's output (batch, time, units), and the last states (batch, units).
Run = Callable[[ir.Value, ir.Value | None], tuple[ir.Value, Sequence[ir.Value]]]


@dataclass(frozen=True)
class _CountedSteps:
    """Per step (batch, time), as int64: `processed` is r, `source` is from. count (batch, 1): n."""

    count: ir.Value
    processed: ir.Value
    source: ir.Value


def lower_masked(
    ops: NodeWriter,
    layer: Recurrence,
    x: ir.Value,
    states: Sequence[ir.Value] | None,
    mask: ir.Value,
    run: Run,
) -> LoweredLayer:
    """Lower x (batch, time, width), states (batch, units) or None for zero, mask (batch, time)."""
    places = _places(ops, layer, mask)
    compact = ops("GatherND", x, _index(ops, places.source), batch_dims=1)
    axis1 = ops.constant("axis1", np.array([1], np.int64))
    lengths = None
    if len(layer.roles) > 1:
        lengths = ops("Cast", ops("Squeeze", places.count, axis1), to=ir.DataType.INT32)
    outputs, last = run(ops("Transpose", compact, perm=[1, 0, 2]), lengths)
    any_counts = ops("Greater", places.count, _int(ops, "none", 0))  # (batch, 1)
    if lengths is None:
        at_end = ops("Max", ops("Sub", places.count, _int(ops, "one", 1)), _int(ops, "none", 0))
        h = ops("GatherND", outputs, at_end, batch_dims=1)
        last = [ops("Where", any_counts, h, ops.scalar("zero", 0.0))]
    # A row without an unmasked step ends in its initial state; so far its state is zero.
    after = tuple(last)
    if states:
        after = tuple(ops("Where", any_counts, a, b) for a, b in zip(last, states, strict=True))
    if layer.return_sequences:
        before = states[0] if states and layer.free else None
        return LoweredLayer(_looked_up(ops, layer, outputs, before, mask, places), after)
    if layer.zero_output_for_mask:
        first, end = (0, 1) if layer.go_backwards else (-1, 2**62)
        bounds = (ops.constant(n, np.array([v], np.int64)) for n, v in (("a", first), ("b", end)))
        counts = ops("Slice", mask, *bounds, axis1)  # (batch, 1): the last step processed
        return LoweredLayer(ops("Where", counts, last[0], ops.scalar("zero", 0.0)), after)
    return LoweredLayer(last[0] if layer.initial_state else after[0], after)


def _places(ops: NodeWriter, layer: Recurrence, mask: ir.Value) -> _CountedSteps:
    axis, one = ops.constant("time", np.array(1, np.int64)), _int(ops, "one", 1)
    counts = ops("Cast", mask, to=ir.DataType.INT64)
    others = ops("Sub", one, counts)
    seen, skipped = ops("CumSum", counts, axis), ops("CumSum", others, axis)
    axes = ops.constant("axes", np.array([1], np.int64))
    count = ops("ReduceSum", counts, axes, keepdims=1)
    processed = seen
    if layer.go_backwards:
        processed = ops("Add", ops("Sub", count, seen), counts)
    behind = ops("Sub", ops("Add", count, skipped), one)
    target = ops("Where", mask, ops("Sub", processed, one), behind)
    steps = ops("Sub", ops("Add", seen, skipped), one)  # 0, 1, 2, ...
    return _CountedSteps(count, processed, ops("ScatterElements", counts, target, steps, axis=1))


def _looked_up(
    ops: NodeWriter,
    layer: Recurrence,
    outputs: ir.Value,
    before: ir.Value | None,
    mask: ir.Value,
    places: _CountedSteps,
) -> ir.Value:
    """Return every step's output, looked up from those of the unmasked steps."""
    none, one = _int(ops, "none", 0), _int(ops, "one", 1)
    place = ops("Max", ops("Sub", places.processed, one), none)
    found = ops("GatherND", outputs, _index(ops, place), batch_dims=1)
    holds = mask if layer.zero_output_for_mask else ops("Greater", places.processed, none)
    axis2 = ops.constant("axis2", np.array([2], np.int64))
    otherwise = ops.scalar("zero", 0.0)
    if before is not None and not layer.zero_output_for_mask:
        otherwise = ops("Unsqueeze", before, ops.constant("axis1", np.array([1], np.int64)))
    sequence = ops("Where", ops("Unsqueeze", holds, axis2), found, otherwise)
    return flip(ops, sequence, axis=1) if layer.go_backwards else sequence


def _index(ops: NodeWriter, places: ir.Value) -> ir.Value:
    return ops("Unsqueeze", places, ops.constant("axis2", np.array([2], np.int64)))


def _int(ops: NodeWriter, name: str, value: int) -> ir.Value:
    return ops.constant(name, np.array(value, np.int64))
