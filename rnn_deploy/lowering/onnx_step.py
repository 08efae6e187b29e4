"""One step of each cell in ONNX nodes, and the inputs' part of all steps as one product.

The step of a known cell takes the inputs' part x W + b (batch, gates * units) as ready; what is
left is the recurrent product and the gates. The step of any other cell is what tf2onnx makes of
its trace. Shared by the lowerings that write steps out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnx_ir as ir
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from rnn_deploy.lowering import onnx_graph
from rnn_deploy.lowering.onnx_activations import AS_NODES
from rnn_deploy.lowering.onnx_ops import Ops
from rnn_deploy.spec import Recurrence, RecurrentLayer, Support, TracedLayer

States = tuple[ir.Value, ...]


@dataclass(frozen=True)
class Stepped:
    """What one step gives."""

    output: ir.Value
    states: States


class Step(Protocol):
    """Writes one step: from the inputs' part and the states (batch, *shape)."""

    def __call__(self, ops: Ops, x: ir.Value, states: Sequence[ir.Value]) -> Stepped: ...


def support_nodes(layer: Recurrence) -> Support:
    """Whether a step of the layer can be written as nodes."""
    if isinstance(layer, TracedLayer):
        return Support(True, f"the traced step of {layer.cell}")
    assert isinstance(layer, RecurrentLayer)
    for name in (layer.activation, layer.recurrent_activation):
        if name not in AS_NODES:
            return Support(False, f"no ONNX operators are known for '{name}'")
    return Support(True)


def project(ops: Ops, layer: Recurrence, x: ir.Value) -> ir.Value:
    """The inputs' part of every step: x W + b, (batch, time, gates * units).

    Of a step known only whole it is x itself.
    """
    if not isinstance(layer, RecurrentLayer):
        return x
    product = ops("MatMul", x, ops.constant("W", layer.kernel))
    if layer.bias is None:
        return product
    return ops("Add", product, ops.constant("b", np.atleast_2d(layer.bias)[0]))


def projected_shape(layer: Recurrence) -> tuple[int, ...]:
    """The shape of one step of `project`, without its batch."""
    if isinstance(layer, TracedLayer):
        return layer.width
    assert isinstance(layer, RecurrentLayer)
    return (int(layer.kernel.shape[1]),)


def zeros(ops: Ops, layer: Recurrence, x: ir.Value, shape: tuple[int, ...]) -> ir.Value:
    """Zeros (batch, *shape) for the batch of x."""
    batch = ops("Shape", x, start=0, end=1)
    sizes = ops("Concat", batch, ops.constant("sizes", np.array(shape, np.int64)), axis=0)
    return ops("ConstantOfShape", sizes, value=ir.tensor(np.zeros(1, layer.dtype)))


def zero_states(ops: Ops, layer: Recurrence, x: ir.Value) -> States:
    """The initial states where none are given."""
    return tuple(zeros(ops, layer, x, shape) for shape in layer.state_shapes)


def step_of(ops: Ops, layer: Recurrence) -> Step:
    """The step of a layer; its weights are written once, by `ops`."""
    if isinstance(layer, TracedLayer):
        return TracedStep(ops, layer)
    assert isinstance(layer, RecurrentLayer)
    return KnownStep(ops, layer)


class TracedStep:
    """A step as tf2onnx writes it."""

    def __init__(self, ops: Ops, layer: TracedLayer) -> None:
        frozen = convert_variables_to_constants_v2(layer.step)
        self._model = onnx_graph.convert(frozen)
        graph = self._model.graph
        for name, value in list(graph.initializers.items()):
            written = ops.constant(_last(name), value.const_value.numpy())
            value.replace_all_uses_with(written, replace_graph_outputs=True)
            del graph.initializers[name]
        self._inputs = [tensor.name for tensor in frozen.inputs]

    def __call__(self, ops: Ops, x: ir.Value, states: Sequence[ir.Value]) -> Stepped:
        graph = self._model.graph.clone(allow_outer_scope_values=True)
        given = dict(zip(self._inputs, (x, *states), strict=True))
        output, *after = ops.take_in(graph, [given[value.name] for value in graph.inputs])
        return Stepped(output, tuple(after))


class KnownStep:
    """The recurrent part of a step; its weights are written once, by `ops`."""

    def __init__(self, ops: Ops, layer: RecurrentLayer) -> None:
        self._layer = layer
        R, units = layer.recurrent_kernel, layer.units
        if layer.cell != "gru":
            self._R = ops.constant("R", R)
            return
        # The candidate has a product of its own: the reset gate comes before or after it.
        bias = np.zeros(3 * units, layer.dtype)
        if layer.reset_after and layer.bias is not None:
            bias = layer.bias[1]
        self._R = ops.constant("R_zr", np.ascontiguousarray(R[:, : 2 * units]))
        self._R_h = ops.constant("R_h", np.ascontiguousarray(R[:, 2 * units :]))
        self._b_zr = ops.constant("b_zr", bias[: 2 * units])
        self._b_h = ops.constant("b_h", bias[2 * units :])

    def __call__(self, ops: Ops, x: ir.Value, states: Sequence[ir.Value]) -> Stepped:
        """x (batch, gates * units) and the states (batch, units) to the output, the next states."""
        cells: dict[str, Callable[..., States]] = {
            "simple_rnn": self._simple_rnn,
            "gru": self._gru,
            "lstm": self._lstm,
        }
        after = cells[self._layer.cell](ops, x, *states)
        return Stepped(after[0], after)

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
    layer: Recurrence,
    x: ir.Value,
    states: Sequence[ir.Value],
    mask: ir.Value | None,
    held: ir.Value | None,
) -> Stepped:
    """A step that a mask (batch, 1) may hold back: the output, and the next states.

    held: the output before, where the layer carries it.
    """
    new = step(ops, x, states)
    if mask is None:
        return new
    masks = _by_rank(ops, mask)
    after = tuple(
        ops("Where", masks(shape), a, b)
        for a, b, shape in zip(new.states, states, layer.state_shapes, strict=True)
    )
    if held is None:
        return Stepped(after[0], after)
    before = ops.scalar("zero", 0.0) if layer.zero_output_for_mask else held
    return Stepped(ops("Where", masks(layer.output_shape), new.output, before), after)


def _by_rank(ops: Ops, mask: ir.Value) -> Callable[[tuple[int, ...]], ir.Value]:
    """The mask (batch, 1) with as many axes as values (batch, *shape)."""

    def shaped(shape: tuple[int, ...]) -> ir.Value:
        if len(shape) == 1:
            return mask
        ones = [1] * len(shape)
        return ops("Reshape", mask, ops.constant("axes", np.array([-1, *ones], np.int64)))

    return shaped


def _split(ops: Ops, x: ir.Value, *sizes: int) -> Sequence[ir.Value]:
    split = ops.constant("split", np.array(sizes, np.int64))
    return ops.outputs("Split", len(sizes), x, split, axis=-1)


def _last(name: str) -> str:
    return name.rpartition("/")[2]
