"""One step of each cell in ONNX nodes, and the inputs' part of all steps as one product.

The step of a known cell receives the inputs' part x W + b (batch, gates * units) and computes the
recurrent product and the gates. The step of any other cell is the conversion of its trace by
tf2onnx. All lowerings that write steps share this module.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import onnx_ir as ir

from rnn_deploy.keras.compat import convert_variables_to_constants
from rnn_deploy.onnx import tf2onnx_graph as onnx_graph
from rnn_deploy.onnx.activations import AS_NODES
from rnn_deploy.onnx.ops import NodeWriter
from rnn_deploy.spec import Recurrence, RecurrentLayer, Support, TracedLayer, Weights

States = tuple[ir.Value, ...]


@dataclass(frozen=True)
class StepResult:
    """The output and the next states of one step."""

    output: ir.Value
    states: States


class StepWriter(Protocol):
    """Writes one step: from the inputs' part and the states (batch, *shape)."""

    def __call__(self, ops: NodeWriter, x: ir.Value, states: Sequence[ir.Value]) -> StepResult: ...

    def from_zero(self, ops: NodeWriter, x: ir.Value) -> StepResult:
        """Write the step from states that are zero."""
        ...


def support_nodes(layer: Recurrence) -> Support:
    """Return whether a step of the layer can be written as nodes."""
    if isinstance(layer, TracedLayer):
        return Support(True, f"the traced step of {layer.cell}")
    assert isinstance(layer, RecurrentLayer)
    for name in (layer.activation, layer.recurrent_activation):
        if name not in AS_NODES:
            return Support(False, f"no ONNX operators are known for '{name}'")
    return Support(True)


def project(ops: NodeWriter, layer: Recurrence, x: ir.Value) -> ir.Value:
    """Return the inputs' part of every step, x W + b: (a, b, width) to (a, b, gates * units).

    For a traced step it is x itself.
    """
    if not isinstance(layer, RecurrentLayer):
        return x
    rows = ops("Reshape", x, ops.constant("rows", np.array([-1, layer.width], np.int64)))
    columns = ops.constant("columns", np.array(projected_shape(layer), np.int64))
    sizes = ops("Concat", ops("Shape", x, start=0, end=2), columns, axis=0)
    return ops("Reshape", project_rows(ops, layer, rows), sizes)


def project_rows(ops: NodeWriter, layer: Recurrence, x: ir.Value) -> ir.Value:
    """Return the inputs' part of one step: (rows, width) to (rows, gates * units)."""
    if not isinstance(layer, RecurrentLayer):
        return x
    kernel, _, bias = _arranged(layer)
    biases = () if bias is None else (ops.constant("b", bias),)
    return ops("Gemm", x, ops.constant("W", kernel), *biases)


def projected_shape(layer: Recurrence) -> tuple[int, ...]:
    """Return the shape of one step of `project`, without its batch."""
    if isinstance(layer, TracedLayer):
        return layer.width
    assert isinstance(layer, RecurrentLayer)
    return (int(layer.kernel.shape[1]),)


def zeros(ops: NodeWriter, layer: Recurrence, x: ir.Value, shape: tuple[int, ...]) -> ir.Value:
    """Return zeros (batch, *shape) for the batch of x."""
    batch = ops("Shape", x, start=0, end=1)
    sizes = ops("Concat", batch, ops.constant("sizes", np.array(shape, np.int64)), axis=0)
    return ops("ConstantOfShape", sizes, value=ir.tensor(np.zeros(1, layer.dtype)))


def zero_states(ops: NodeWriter, layer: Recurrence, x: ir.Value) -> States:
    """Return initial states of zero."""
    return tuple(zeros(ops, layer, x, shape) for shape in layer.state_shapes)


def step_of(ops: NodeWriter, layer: Recurrence) -> StepWriter:
    """Return the writer of a layer's step; `ops` writes its weights once."""
    if isinstance(layer, TracedLayer):
        return ConvertedStep(ops, layer)
    assert isinstance(layer, RecurrentLayer)
    return CellStep(ops, layer)


class ConvertedStep:
    """A step, converted by tf2onnx."""

    def __init__(self, ops: NodeWriter, layer: TracedLayer) -> None:
        self._layer = layer
        model, self._inputs = _converted(layer)
        self._model = model.clone()
        graph = self._model.graph
        for name, value in list(graph.initializers.items()):
            written = ops.constant(_last(name), value.const_value.numpy())
            value.replace_all_uses_with(written, replace_graph_outputs=True)
            del graph.initializers[name]

    def __call__(self, ops: NodeWriter, x: ir.Value, states: Sequence[ir.Value]) -> StepResult:
        graph = self._model.graph.clone(allow_outer_scope_values=True)
        given = dict(zip(self._inputs, (x, *states), strict=True))
        output, *after = ops.take_in(graph, [given[value.name] for value in graph.inputs])
        return StepResult(output, tuple(after))

    def from_zero(self, ops: NodeWriter, x: ir.Value) -> StepResult:
        """Write it like a step from any state, since its computation is unknown."""
        return self(ops, x, zero_states(ops, self._layer, x))


class CellStep:
    """The recurrent part of a step; `ops` writes its weights once."""

    def __init__(self, ops: NodeWriter, layer: RecurrentLayer) -> None:
        self._layer = layer
        _, R, _ = _arranged(layer)
        if layer.cell != "gru":
            self._R = ops.constant("R", R)
            return
        # The candidate has its own product, because the reset gate comes before or after it.
        units = layer.units
        self._R = ops.constant("R_zr", np.ascontiguousarray(R[:, : 2 * units]))
        self._R_h = ops.constant("R_h", np.ascontiguousarray(R[:, 2 * units :]))
        self._b_h: tuple[ir.Value, ...] = ()
        if layer.reset_after and layer.bias is not None:
            self._b_h = (ops.constant("b_h", layer.bias[1, 2 * units :]),)

    def __call__(self, ops: NodeWriter, x: ir.Value, states: Sequence[ir.Value]) -> StepResult:
        """Write x (batch, gates * units) and states (batch, units) to output and next states."""
        cells: dict[str, Callable[..., States]] = {
            "simple_rnn": self._simple_rnn,
            "gru": self._gru,
            "lstm": self._lstm,
        }
        after = cells[self._layer.cell](ops, x, *states)
        return StepResult(after[0], after)

    def from_zero(self, ops: NodeWriter, x: ir.Value) -> StepResult:
        """Write the step without the products of states that are zero."""
        cells: dict[str, Callable[..., States]] = {
            "simple_rnn": self._simple_rnn_from_zero,
            "gru": self._gru_from_zero,
            "lstm": self._lstm_from_zero,
        }
        after = cells[self._layer.cell](ops, x)
        return StepResult(after[0], after)

    def _simple_rnn_from_zero(self, ops: NodeWriter, x: ir.Value) -> States:
        return (self._f(ops, x),)

    def _gru_from_zero(self, ops: NodeWriter, x: ir.Value) -> States:
        units = self._layer.units
        x_zr, x_h = _split(ops, x, 2 * units, units)
        z, r = _split(ops, self._sigma(ops, x_zr), units, units)
        if self._b_h:
            x_h = ops("Add", x_h, ops("Mul", r, *self._b_h))
        candidate = self._f(ops, x_h)
        return (ops("Sub", candidate, ops("Mul", z, candidate)),)

    def _lstm_from_zero(self, ops: NodeWriter, x: ir.Value) -> States:
        units = self._layer.units
        gates, g = _split(ops, x, 3 * units, units)
        i, _, o = _split(ops, self._sigma(ops, gates), units, units, units)
        c = ops("Mul", i, self._f(ops, g))
        return ops("Mul", o, self._f(ops, c)), c

    def _simple_rnn(self, ops: NodeWriter, x: ir.Value, h: ir.Value) -> States:
        return (self._f(ops, ops("Gemm", h, self._R, x)),)

    def _gru(self, ops: NodeWriter, x: ir.Value, h: ir.Value) -> States:
        units = self._layer.units
        x_zr, x_h = _split(ops, x, 2 * units, units)
        gates = self._sigma(ops, ops("Gemm", h, self._R, x_zr))
        z, r = _split(ops, gates, units, units)
        if self._layer.reset_after:
            recurrent = ops("Mul", r, ops("Gemm", h, self._R_h, *self._b_h))
            candidate = self._f(ops, ops("Add", x_h, recurrent))
        else:
            candidate = self._f(ops, ops("Gemm", ops("Mul", r, h), self._R_h, x_h))
        # z h + (1 - z) candidate, with one product less
        kept = ops("Mul", z, ops("Sub", h, candidate))
        return (ops("Add", candidate, kept),)

    def _lstm(self, ops: NodeWriter, x: ir.Value, h: ir.Value, c: ir.Value) -> States:
        units = self._layer.units
        gates, g = _split(ops, ops("Gemm", h, self._R, x), 3 * units, units)
        i, f, o = _split(ops, self._sigma(ops, gates), units, units, units)
        c = ops("Add", ops("Mul", f, c), ops("Mul", i, self._f(ops, g)))
        return ops("Mul", o, self._f(ops, c)), c

    def _f(self, ops: NodeWriter, x: ir.Value) -> ir.Value:
        return AS_NODES[self._layer.activation](ops, x)

    def _sigma(self, ops: NodeWriter, x: ir.Value) -> ir.Value:
        return AS_NODES[self._layer.recurrent_activation](ops, x)


def _arranged(layer: RecurrentLayer) -> tuple[Weights, Weights, Weights | None]:
    """Return kernel, recurrent kernel and bias of the inputs' part in the order of this module.

    LSTM: the gates with the activation sigma side by side, i f o g. GRU: the recurrent biases of z
    and r are added to the inputs' bias.
    """
    kernel, recurrent, bias, units = layer.kernel, layer.recurrent_kernel, layer.bias, layer.units
    if layer.cell == "lstm":
        order = np.arange(4 * units).reshape(4, units)[[0, 1, 3, 2]].ravel()
        return kernel[:, order], recurrent[:, order], None if bias is None else bias[order]
    if layer.cell == "gru" and bias is not None and bias.ndim == 2:
        own = bias[0].copy()
        own[: 2 * units] += bias[1, : 2 * units]
        return kernel, recurrent, own
    return kernel, recurrent, bias


def advance(
    ops: NodeWriter,
    step: StepWriter,
    layer: Recurrence,
    x: ir.Value,
    states: Sequence[ir.Value],
    mask: ir.Value | None,
    previous: ir.Value | None,
) -> StepResult:
    """Write a step under a mask (batch, 1); return its output and its next states.

    previous: the previous output, if the layer carries it.
    """
    new = step(ops, x, states)
    if mask is None:
        return new
    masks = _by_rank(ops, mask)
    after = tuple(
        ops("Where", masks(shape), a, b)
        for a, b, shape in zip(new.states, states, layer.state_shapes, strict=True)
    )
    if previous is None:
        return StepResult(after[0], after)
    before = ops.scalar("zero", 0.0) if layer.zero_output_for_mask else previous
    return StepResult(ops("Where", masks(layer.output_shape), new.output, before), after)


def _by_rank(ops: NodeWriter, mask: ir.Value) -> Callable[[tuple[int, ...]], ir.Value]:
    """Return the mask (batch, 1) with as many axes as values (batch, *shape)."""

    def shaped(shape: tuple[int, ...]) -> ir.Value:
        if len(shape) == 1:
            return mask
        ones = [1] * len(shape)
        return ops("Reshape", mask, ops.constant("axes", np.array([-1, *ones], np.int64)))

    return shaped


def _split(ops: NodeWriter, x: ir.Value, *sizes: int) -> Sequence[ir.Value]:
    split = ops.constant("split", np.array(sizes, np.int64))
    return ops.outputs("Split", len(sizes), x, split, axis=-1)


def _converted(layer: TracedLayer) -> tuple[ir.Model, list[str]]:
    """Return the traced step as ONNX, and its inputs; entry points with the same trace share it."""
    if layer.step not in _CONVERTED:
        frozen = convert_variables_to_constants(layer.step)
        inputs = [tensor.name for tensor in frozen.inputs]
        _CONVERTED[layer.step] = onnx_graph.convert(frozen, onnx_graph.OF_STEP), inputs
    return _CONVERTED[layer.step]


_CONVERTED: WeakKeyDictionary[Any, tuple[ir.Model, list[str]]] = WeakKeyDictionary()


def _last(name: str) -> str:
    return name.rpartition("/")[2]
