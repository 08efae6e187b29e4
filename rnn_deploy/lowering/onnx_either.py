"""A layer in two forms: native for one sequence, Scan for several; each call takes one of them.

ONNX Runtime's operator RNN is the fastest form for one sequence and the slowest in batches. The
batch is known when the graph is called, and an If costs some two microseconds. Both forms have
weights of their own, since they want them in other layouts.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rnn_deploy.lowering import onnx_native, onnx_scan
from rnn_deploy.lowering.onnx_ops import Lowered, Ops, apart
from rnn_deploy.spec import Recurrence, Support

FORMS = {"one": onnx_native, "several": onnx_scan}


def support(layer: Recurrence) -> Support:
    """Whether both forms can express the layer."""
    for form in FORMS.values():
        known = form.support(layer)
        if not known.ok:
            return known
    return Support(True, "native for one sequence, scan for several")


def lower(
    ops: Ops,
    layer: Recurrence,
    x: ir.Value,
    states: Sequence[ir.Value] | None,
    mask: ir.Value | None,
) -> Lowered:
    """x (batch, time, width), states (batch, units) each or None for zero, mask (batch, time)."""
    branches = []
    for name, form in FORMS.items():
        own = Ops(f"{layer.name}/{name}", layer.dtype, weights=ops)
        lowered = form.lower(own, layer, x, states, mask)
        branches.append(_graph(own, layer, lowered))
    batch = ops("Shape", x, start=0, end=1)
    one = ops("Equal", batch, ops.constant("one", np.array([1], np.int64)))
    output, *finals = ops.outputs(
        "If", 1 + len(layer.roles), one, then_branch=branches[0], else_branch=branches[1]
    )
    return Lowered(output, tuple(finals))


def _graph(ops: Ops, layer: Recurrence, lowered: Lowered) -> ir.Graph:
    outputs = apart(ops, [lowered.output, *lowered.states])
    steps = [None] if layer.return_sequences else []
    shapes = [[*steps, *layer.output_shape], *layer.state_shapes]
    for output, shape in zip(outputs, shapes, strict=True):
        output.type = ir.TensorType(ir.DataType.from_numpy(layer.dtype))
        output.shape = ir.Shape([None, *shape])
    return ir.Graph(inputs=[], outputs=outputs, nodes=ops.nodes, name=outputs[0].name)
