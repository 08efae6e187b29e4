"""One step of each cell in ONNX nodes, and the inputs' part of all steps as one product.

The step takes the inputs' part x W + b (batch, gates * units) as ready; what is left is the
recurrent product and the gates. Shared by the lowerings that write steps out.
"""

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from rnn_deploy.lowering.onnx_activations import AS_NODES
from rnn_deploy.lowering.onnx_ops import Ops
from rnn_deploy.spec import RecurrentLayer, Support

States = tuple[ir.Value, ...]


def support_nodes(layer: RecurrentLayer) -> Support:
    """Whether the layer's activations can be written as nodes."""
    for name in (layer.activation, layer.recurrent_activation):
        if name not in AS_NODES:
            return Support(False, f"no ONNX operators are known for '{name}'")
    return Support(True)


def project(ops: Ops, layer: RecurrentLayer, x: ir.Value) -> ir.Value:
    """The inputs' part of every step: x W + b, (batch, time, gates * units)."""
    product = ops("MatMul", x, ops.constant("W", layer.kernel))
    if layer.bias is None:
        return product
    return ops("Add", product, ops.constant("b", np.atleast_2d(layer.bias)[0]))


def zero_state(ops: Ops, layer: RecurrentLayer, x: ir.Value) -> ir.Value:
    """Zeros (batch, units) for the batch of x."""
    batch = ops("Shape", x, start=0, end=1)
    shape = ops("Concat", batch, ops.constant("units", np.array([layer.units])), axis=0)
    zero = ir.tensor(np.zeros(1, np.float32))
    return ops("ConstantOfShape", shape, value=zero)


class Step:
    """The recurrent part of a step; its weights are written once, by `ops`."""

    def __init__(self, ops: Ops, layer: RecurrentLayer) -> None:
        self._layer = layer
        R, units = layer.recurrent_kernel, layer.units
        if layer.cell != "gru":
            self._R = ops.constant("R", R)
            return
        # The candidate has a product of its own: the reset gate comes before or after it.
        bias = np.zeros(3 * units, np.float32)
        if layer.reset_after and layer.bias is not None:
            bias = layer.bias[1]
        self._R = ops.constant("R_zr", np.ascontiguousarray(R[:, : 2 * units]))
        self._R_h = ops.constant("R_h", np.ascontiguousarray(R[:, 2 * units :]))
        self._b_zr = ops.constant("b_zr", bias[: 2 * units])
        self._b_h = ops.constant("b_h", bias[2 * units :])

    def __call__(self, ops: Ops, x: ir.Value, states: Sequence[ir.Value]) -> States:
        """x (batch, gates * units) and the states (batch, units) to the next states."""
        cells: dict[str, Callable[..., States]] = {
            "simple_rnn": self._simple_rnn,
            "gru": self._gru,
            "lstm": self._lstm,
        }
        return cells[self._layer.cell](ops, x, *states)

    def _simple_rnn(self, ops: Ops, x: ir.Value, h: ir.Value) -> States:
        return (self._f(ops, ops("Gemm", h, self._R, x)),)

    def _gru(self, ops: Ops, x: ir.Value, h: ir.Value) -> States:
        units = self._layer.units
        x_zr, x_h = _split(ops, x, 2 * units, units)
        gates = ops("Add", ops("Gemm", h, self._R, self._b_zr), x_zr)
        z, r = _split(ops, self._sigma(ops, gates), units, units)
        if self._layer.reset_after:
            recurrent = ops("Mul", r, ops("Gemm", h, self._R_h, self._b_h))
        else:
            recurrent = ops("MatMul", ops("Mul", r, h), self._R_h)
        candidate = self._f(ops, ops("Add", x_h, recurrent))
        # z h + (1 - z) candidate, with one product less
        kept = ops("Mul", z, ops("Sub", h, candidate))
        return (ops("Add", candidate, kept),)

    def _lstm(self, ops: Ops, x: ir.Value, h: ir.Value, c: ir.Value) -> States:
        units = self._layer.units
        i, f, g, o = _split(ops, ops("Gemm", h, self._R, x), units, units, units, units)
        i, f, o = (self._sigma(ops, gate) for gate in (i, f, o))
        c = ops("Add", ops("Mul", f, c), ops("Mul", i, self._f(ops, g)))
        return ops("Mul", o, self._f(ops, c)), c

    def _f(self, ops: Ops, x: ir.Value) -> ir.Value:
        return AS_NODES[self._layer.activation](ops, x)

    def _sigma(self, ops: Ops, x: ir.Value) -> ir.Value:
        return AS_NODES[self._layer.recurrent_activation](ops, x)


def advance(
    ops: Ops,
    step: Step,
    layer: RecurrentLayer,
    x: ir.Value,
    states: Sequence[ir.Value],
    mask: ir.Value | None,
    held: ir.Value | None,
) -> tuple[States, ir.Value]:
    """A step that a mask (batch, 1) may hold back: the next states, and the output.

    held: the output before, where the layer carries it.
    """
    new = step(ops, x, states)
    if mask is None:
        return new, new[0]
    after = tuple(ops("Where", mask, a, b) for a, b in zip(new, states, strict=True))
    if held is None:
        return after, after[0]
    zero = ops.constant("zero", np.zeros((), np.float32))
    return after, ops("Where", mask, new[0], zero if layer.zero_output_for_mask else held)


def _split(ops: Ops, x: ir.Value, *sizes: int) -> Sequence[ir.Value]:
    split = ops.constant("split", np.array(sizes, np.int64))
    return ops.outputs("Split", len(sizes), x, split, axis=-1)
