"""Read recurrent layers as nodes: SimpleRNN, GRU, LSTM, lists of cells, Bidirectional."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rnn_deploy.c.ir import CellNode, MergeNode, Value
from rnn_deploy.c.layers import Reader
from rnn_deploy.c.refusal import Graph, NotInCError, OpCall, float_value
from rnn_deploy.keras.intercept import LayerCall, unused
from rnn_deploy.keras.originals import runs_its_own_loop
from rnn_deploy.keras.reading import READ_CELLS, activation_name, cells_of, read_known
from rnn_deploy.keras.tensorflow import keras
from rnn_deploy.spec import RecurrentLayer

MERGES = {"concat": "concat", "sum": "add", "mul": "multiply", "ave": "average"}


def _recurrent(call: OpCall, graph: Graph) -> Sequence[Any]:
    layers = _layers_of(call, call.op, graph)
    output, finals = _run(call, layers, graph, _initial(call))
    return (output, *finals) if call.op.return_state else (output,)


def _bidirectional(call: OpCall, graph: Graph) -> Sequence[Any]:
    layer = call.op
    halves = (layer.forward_layer, layer.backward_layer)
    stacks = [_layers_of(call, half, graph) for half in halves]
    initial = _initial(call)
    middle = len(initial) // 2
    starts = (initial[:middle], initial[middle:])
    outputs, finals = [], []
    for stack, start in zip(stacks, starts, strict=True):
        output, after = _run(call, stack, graph, start, aligned=True)
        outputs.append(output)
        finals += after
    if layer.merge_mode is not None:
        kind = MERGES[layer.merge_mode]
        size = sum(v.size for v in outputs) if kind == "concat" else outputs[0].size
        merged = Value(call.name, size, outputs[0].time)
        node = MergeNode(layer=call.name, inputs=tuple(outputs), outputs=(merged,), kind=kind)
        outputs = list(graph.add(node))
    return (*outputs, *finals) if layer.return_state else tuple(outputs)


def _initial(call: OpCall) -> list[Value]:
    given = call.given(1, "initial_state")
    flat = given if isinstance(given, list | tuple) else [] if given is None else [given]
    return [float_value(value) for value in flat]


def _layers_of(call: OpCall, layer: Any, graph: Graph) -> tuple[RecurrentLayer, ...]:
    """Read the cells of one layer; its name counts as used even if it is refused."""
    name = unused(layer.name, graph.names)
    graph.names.add(name)
    if runs_its_own_loop(layer):
        raise NotInCError("runs a loop of its own")
    x = call.x
    tensors = keras.KerasTensor((None, None, x.size))
    initial, mask = call.given(1, "initial_state"), call.kwargs.get("mask")
    seen = LayerCall(name, layer, tensors, initial, _masks(mask), False, layer.call)
    known = read_known(seen)
    if known is None:
        raise NotInCError(_why_unknown(layer))
    if len(known) > 1 and known[0].go_backwards:
        raise NotInCError("runs a list of cells backwards", "use one layer for each cell")
    return known


def _why_unknown(layer: Any) -> str:
    for cell in cells_of(layer):
        if type(cell) not in READ_CELLS:
            return f"runs a cell of its own ({type(cell).__name__})"
        for name in ("activation", "recurrent_activation"):
            function = getattr(cell, name, None)
            if activation_name(function) is None:
                called = getattr(function, "__name__", type(function).__name__)
                return f"has the {name} {called}, which C is not written for"
    return "cannot be read"


def _masks(mask: Any) -> Any:
    return None if mask is None or mask is True else mask


def _run(
    call: OpCall,
    layers: tuple[RecurrentLayer, ...],
    graph: Graph,
    initial: Sequence[Value],
    *,
    aligned: bool = False,
) -> tuple[Value, list[Value]]:
    """Add the nodes of a stack of cells; return its output and its final states."""
    x, rest = call.x, list(initial)
    finals: list[Value] = []
    mask = _masks(call.kwargs.get("mask"))
    if x.time is None:
        raise NotInCError("runs over what has no time")
    if mask is not None and (not isinstance(mask, Value) or mask.dtype != "bool"):
        raise NotInCError("has a mask that does not come from the model, or that masks every step")
    for layer in layers:
        states = tuple(Value(f"{layer.name}_{role}", layer.units, None) for role in layer.roles)
        output = Value(layer.name, layer.units, x.time if layer.return_sequences else None)
        own, rest = tuple(rest[: len(states)]), rest[len(states) :]
        node = CellNode(
            layer=layer.name,
            inputs=(x, *([] if mask is None else [mask]), *own),
            outputs=(output, *states),
            cell=replace(layer, masked=mask is not None),
            mask=mask,
            initial=own,
            aligned=aligned,
        )
        graph.add(node)
        x = output
        finals += states
    return x, finals


_L = keras.layers
RECURRENT: dict[Any, Reader] = {
    **dict.fromkeys((_L.SimpleRNN, _L.GRU, _L.LSTM, _L.RNN), _recurrent),
    _L.Bidirectional: _bidirectional,
}
