"""A layer as one product for the inputs of all steps, then a Scan over small steps.

Keras' go_backwards returns the outputs in the order of processing, so the sequence is reversed
before the loop. (Scan has an attribute for it, which not every runtime supports.)
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rnn_deploy.onnx.ops import LoweredLayer, NodeWriter, flip
from rnn_deploy.onnx.step import (
    StepWriter,
    advance,
    project,
    projected_shape,
    step_of,
    support_nodes,
    zero_states,
    zeros,
)
from rnn_deploy.spec import Recurrence, RecurrentLayer, Support


def support(layer: Recurrence) -> Support:
    """Return whether a Scan can express the layer."""
    nodes = support_nodes(layer)
    if not nodes.ok:
        return nodes
    known = "takes any activation; one product for the inputs of all steps"
    return Support(True, nodes.reason or known)


def lower(
    ops: NodeWriter,
    layer: Recurrence,
    x: ir.Value,
    states: Sequence[ir.Value] | None,
    mask: ir.Value | None,
) -> LoweredLayer:
    """Lower x (batch, time, *width), states (batch, *shape) or None, mask (batch, time)."""
    if layer.go_backwards:
        x, mask = flip(ops, x, axis=1), None if mask is None else flip(ops, mask, axis=1)
    scanned = [_by_step(ops, layer, x)]
    if mask is not None:
        axis2 = ops.constant("axis2", np.array([2], np.int64))
        scanned.append(ops("Unsqueeze", ops("Transpose", mask, perm=[1, 0]), axis2))
    carried = [*(states or zero_states(ops, layer, x))]
    if layer.carries_output:
        carried.append(zeros(ops, layer, x, layer.output_shape))
    *finals, outputs = ops.outputs(
        "Scan",
        len(carried) + 1,
        *carried,
        *scanned,
        body=_body(layer, step_of(ops, layer)),
        num_scan_inputs=len(scanned),
    )
    after = tuple(finals[: len(layer.roles)])
    if layer.return_sequences:
        return LoweredLayer(time_first(ops, outputs, layer.output_shape), after)
    if layer.carries_output:
        return LoweredLayer(finals[-1], after)
    if layer.output_is_state:
        return LoweredLayer(after[0], after)
    return LoweredLayer(ops("Gather", outputs, ops.constant("last", np.array(-1, np.int64))), after)


def _by_step(ops: NodeWriter, layer: Recurrence, x: ir.Value) -> ir.Value:
    """Return the input's part of every step, time first; the narrower side is transposed."""
    if isinstance(layer, RecurrentLayer) and (layer.width,) < projected_shape(layer):
        return project(ops, layer, time_first(ops, x, (layer.width,)))
    return time_first(ops, project(ops, layer, x), projected_shape(layer))


def time_first(ops: NodeWriter, x: ir.Value, shape: tuple[int, ...]) -> ir.Value:
    """Exchange the first two axes of x (batch, time, *shape), or of (time, batch, *shape)."""
    return ops("Transpose", x, perm=[1, 0, *range(2, 2 + len(shape))])


def _body(layer: Recurrence, step: StepWriter) -> ir.Graph:
    def value(name: str, shape: tuple[int, ...], kind: ir.DataType | None = None) -> ir.Value:
        own = ir.DataType.from_numpy(layer.dtype) if kind is None else kind
        return ir.Value(
            name=f"{layer.name}/{name}", type=ir.TensorType(own), shape=ir.Shape([None, *shape])
        )

    states = [value(r, shape) for r, shape in zip(layer.roles, layer.state_shapes, strict=True)]
    previous = [value("held", layer.output_shape)] if layer.carries_output else []
    x = value("x_t", projected_shape(layer))
    mask = [value("mask_t", (1,), ir.DataType.BOOL)] if layer.masked else []
    ops = NodeWriter(f"{layer.name}/step", layer.dtype)
    new = advance(ops, step, layer, x, states, *(mask or [None]), *(previous or [None]))
    outputs = _apart(ops, [*new.states, *([new.output] if previous else []), new.output])
    shapes = [*layer.state_shapes, *([layer.output_shape] if previous else []), layer.output_shape]
    for output, shape in zip(outputs, shapes, strict=True):
        output.type = ir.TensorType(ir.DataType.from_numpy(layer.dtype))
        output.shape = ir.Shape([None, *shape])
    body = ir.Graph(
        inputs=[*states, *previous, x, *mask],
        outputs=outputs,
        nodes=ops.nodes,
        initializers=ops.initializers,
        name=f"{layer.name}_step",
    )
    body.sort()
    return body


def _apart(ops: NodeWriter, values: Sequence[ir.Value]) -> list[ir.Value]:
    """Return the values as outputs of a body, each from its own node.

    ONNX Runtime's Scan is silently wrong if one value is two of its body's outputs. A copy costs a
    third of a small step, so only such values are copied.
    """
    apart: list[ir.Value] = []
    for value in values:
        own = value.producer() is not None and all(value is not other for other in apart)
        apart.append(value if own else ops("Identity", value))
    return apart
