"""A layer as one product for the inputs of all steps, then a Scan over small steps.

Scan reads its input backwards when asked and returns the outputs in the order processed, which is
what Keras' go_backwards returns.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rnn_deploy.lowering.onnx_ops import Lowered, Ops
from rnn_deploy.lowering.onnx_step import Step, advance, project, support_nodes, zero_state
from rnn_deploy.spec import RecurrentLayer, Support

FLOAT, BOOL = ir.TensorType(ir.DataType.FLOAT), ir.TensorType(ir.DataType.BOOL)


def support(layer: RecurrentLayer) -> Support:
    """Whether a Scan can express the layer."""
    nodes = support_nodes(layer)
    if not nodes.ok:
        return nodes
    return Support(True, "takes any activation; one product for the inputs of all steps")


def lower(
    ops: Ops,
    layer: RecurrentLayer,
    x: ir.Value,
    states: Sequence[ir.Value] | None,
    mask: ir.Value | None,
) -> Lowered:
    """x (batch, time, width), states (batch, units) each or None for zero, mask (batch, time)."""
    scanned = [ops("Transpose", project(ops, layer, x), perm=[1, 0, 2])]  # (time, batch, g * units)
    if mask is not None:
        axis2 = ops.constant("axis2", np.array([2], np.int64))
        scanned.append(ops("Unsqueeze", ops("Transpose", mask, perm=[1, 0]), axis2))
    zero = zero_state(ops, layer, x)
    carried = [*(states or [zero] * len(layer.roles)), *([zero] if layer.carries_output else [])]
    *finals, outputs = ops.outputs(
        "Scan",
        len(carried) + 1,
        *carried,
        *scanned,
        body=_body(layer, Step(ops, layer)),
        num_scan_inputs=len(scanned),
        scan_input_directions=[int(layer.go_backwards)] * len(scanned),
    )
    after = tuple(finals[: len(layer.roles)])
    if not layer.return_sequences:
        return Lowered(finals[-1] if layer.carries_output else after[0], after)
    return Lowered(ops("Transpose", outputs, perm=[1, 0, 2]), after)


def _body(layer: RecurrentLayer, step: Step) -> ir.Graph:
    states = [_value(layer, role, layer.units) for role in layer.roles]
    held = [_value(layer, "held", layer.units)] if layer.carries_output else []
    x = _value(layer, "x_t", layer.kernel.shape[1])
    mask = [_value(layer, "mask_t", 1, BOOL)] if layer.masked else []
    ops = Ops(f"{layer.name}/step")
    after, output = advance(ops, step, layer, x, states, *(mask or [None]), *(held or [None]))
    # ONNX Runtime's Scan is silently wrong when one value is both state and output.
    out = ops("Identity", output)
    carried = [*after, output] if held else list(after)
    for value in (*carried, out):
        value.type, value.shape = FLOAT, ir.Shape([None, layer.units])
    return ir.Graph(
        inputs=[*states, *held, x, *mask],
        outputs=[*carried, out],
        nodes=ops.nodes,
        initializers=ops.initializers,
        name=f"{layer.name}_step",
    )


def _value(layer: RecurrentLayer, name: str, width: int, kind: ir.TensorType = FLOAT) -> ir.Value:
    return ir.Value(name=f"{layer.name}/{name}", type=kind, shape=ir.Shape([None, width]))
