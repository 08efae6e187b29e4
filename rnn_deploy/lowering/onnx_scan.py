"""SimpleRNN as one product for the inputs of all steps, then a Scan over small steps.

The body is a Gemm and an activation. Scan reads its input backwards when asked and returns the
outputs in the order processed, which is what Keras' go_backwards returns.
"""

import numpy as np
import onnx_ir as ir

from rnn_deploy.lowering.onnx_activations import AS_NODES
from rnn_deploy.lowering.onnx_ops import Lowered, Ops
from rnn_deploy.spec import RecurrentLayer, Support

FLOAT = ir.TensorType(ir.DataType.FLOAT)


def support(layer: RecurrentLayer) -> Support:
    """Whether a Scan can express the layer."""
    if layer.activation not in AS_NODES:
        return Support(False, f"no ONNX operators are known for '{layer.activation}'")
    return Support(True, "takes any activation; one product for the inputs of all steps")


def lower(ops: Ops, layer: RecurrentLayer, x: ir.Value, h: ir.Value | None) -> Lowered:
    """x (batch, time, width), h (batch, units) or None for zero."""
    projected = project(ops, layer, x)
    steps = ops("Transpose", projected, perm=[1, 0, 2])  # (time, batch, units)
    final, outputs = ops.outputs(
        "Scan",
        2,
        zero_state(ops, layer, x) if h is None else h,
        steps,
        body=_body(layer, ops.constant("R", layer.recurrent_kernel)),
        num_scan_inputs=1,
        scan_input_directions=[int(layer.go_backwards)],
    )
    if not layer.return_sequences:
        return Lowered(final, final)
    return Lowered(ops("Transpose", outputs, perm=[1, 0, 2]), final)


def project(ops: Ops, layer: RecurrentLayer, x: ir.Value) -> ir.Value:
    """The inputs' part of every step: x W + b, (batch, time, units)."""
    product = ops("MatMul", x, ops.constant("W", layer.kernel))
    if layer.bias is None:
        return product
    return ops("Add", product, ops.constant("b", layer.bias))


def zero_state(ops: Ops, layer: RecurrentLayer, x: ir.Value) -> ir.Value:
    """Zeros (batch, units) for the batch of x."""
    batch = ops("Shape", x, start=0, end=1)
    shape = ops("Concat", batch, ops.constant("units", np.array([layer.units])), axis=0)
    zero = ir.tensor(np.zeros(1, np.float32))
    return ops("ConstantOfShape", shape, value=zero)


def _body(layer: RecurrentLayer, R: ir.Value) -> ir.Graph:
    shape = ir.Shape([None, layer.units])
    h, step = (
        ir.Value(name=f"{layer.name}/{name}", type=FLOAT, shape=shape) for name in ("h", "x_t")
    )
    ops = Ops(f"{layer.name}/step")
    new = AS_NODES[layer.activation](ops, ops("Gemm", h, R, step))
    # ONNX Runtime's Scan is silently wrong when one value is both state and output.
    output = ops("Identity", new)
    for value in (new, output):
        value.type, value.shape = FLOAT, shape
    return ir.Graph(
        inputs=[h, step],
        outputs=[new, output],
        nodes=ops.nodes,
        initializers=ops.initializers,
        name=f"{layer.name}_step",
    )
