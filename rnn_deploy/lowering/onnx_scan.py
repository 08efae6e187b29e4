"""A layer as one product for the inputs of all steps, then a Scan over small steps.

Scan reads its input backwards when asked and returns the outputs in the order processed, which is
what Keras' go_backwards returns.
"""

from collections.abc import Sequence

import onnx_ir as ir

from rnn_deploy.lowering.onnx_ops import Lowered, Ops
from rnn_deploy.lowering.onnx_step import Step, project, support_nodes, zero_state
from rnn_deploy.spec import RecurrentLayer, Support

FLOAT = ir.TensorType(ir.DataType.FLOAT)


def support(layer: RecurrentLayer) -> Support:
    """Whether a Scan can express the layer."""
    nodes = support_nodes(layer)
    if not nodes.ok:
        return nodes
    return Support(True, "takes any activation; one product for the inputs of all steps")


def lower(
    ops: Ops, layer: RecurrentLayer, x: ir.Value, states: Sequence[ir.Value] | None
) -> Lowered:
    """x (batch, time, width), states (batch, units) each or None for zero."""
    steps = ops("Transpose", project(ops, layer, x), perm=[1, 0, 2])  # (time, batch, g * units)
    if states is None:
        states = [zero_state(ops, layer, x)] * len(layer.roles)
    *finals, outputs = ops.outputs(
        "Scan",
        len(states) + 1,
        *states,
        steps,
        body=_body(layer, Step(ops, layer)),
        num_scan_inputs=1,
        scan_input_directions=[int(layer.go_backwards)],
    )
    if not layer.return_sequences:
        return Lowered(finals[0], tuple(finals))
    return Lowered(ops("Transpose", outputs, perm=[1, 0, 2]), tuple(finals))


def _body(layer: RecurrentLayer, step: Step) -> ir.Graph:
    states = [_value(layer, role, layer.units) for role in layer.roles]
    x = _value(layer, "x_t", layer.kernel.shape[1])
    ops = Ops(f"{layer.name}/step")
    after = step(ops, x, states)
    # ONNX Runtime's Scan is silently wrong when one value is both state and output.
    output = ops("Identity", after[0])
    for value in (*after, output):
        value.type, value.shape = FLOAT, ir.Shape([None, layer.units])
    return ir.Graph(
        inputs=[*states, x],
        outputs=[*after, output],
        nodes=ops.nodes,
        initializers=ops.initializers,
        name=f"{layer.name}_step",
    )


def _value(layer: RecurrentLayer, name: str, width: int) -> ir.Value:
    return ir.Value(name=f"{layer.name}/{name}", type=FLOAT, shape=ir.Shape([None, width]))
