"""Keras' graph of layers as a program of typed nodes.

The graph of a functional or sequential model is walked in the order in which Keras runs it, nested
models included, so that recurrent calls get the names that the rest of the project knows them by.
Keras writes masks into this graph as operations of their own, so none is guessed. Whatever cannot
be written exactly is refused, all of it at once, each with its layer and a reason.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_deploy.c.attention import ATTENTION
from rnn_deploy.c.ir import Program, Value, used_nodes
from rnn_deploy.c.layers import LAYERS, UNKNOWN, same_value
from rnn_deploy.c.operations import OPERATIONS
from rnn_deploy.c.recurrent import RECURRENT
from rnn_deploy.c.refusal import Graph, NotInCError, NotWritten, OpCall, Place
from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras.access import functional_of, layers_in, node_behind, nodes_in_order
from rnn_deploy.keras.compat import get_keras_mask
from rnn_deploy.keras.implied_masks import implied_mask
from rnn_deploy.keras.precision import computing_in
from rnn_deploy.keras.reading import precision_of
from rnn_deploy.keras.signature import Signature, is_functional
from rnn_deploy.keras.tensorflow import keras
from rnn_deploy.spec import TensorSpec

INPUT_DTYPES = ("float32", "int32", "int64", "bool")


@dataclass(frozen=True)
class ReadGraph:
    """A model's program, and the values and the mask of each call of a layer."""

    program: Program
    made: Mapping[Place, Sequence[Any]]
    masks: Mapping[Place, Any]


def read_program(model: Any, signature: Signature) -> Program:
    """Return the program of a Keras model; UnsupportedModelError lists every layer that is refused.

    signature: the names and shapes of its inputs, the names of its outputs.
    """
    return read_graph(model, signature).program


def read_graph(model: Any, signature: Signature) -> ReadGraph:
    """Return the program of a Keras model and what its layers return; raises as `read_program`.

    signature: the names and shapes of its inputs, the names of its outputs.
    """
    _check_model(model)
    graph, refusals = Graph(), list(_refused_inputs(signature))
    inputs = tuple(map(input_value, signature.inputs))
    with computing_in(model, "float32"):  # whatever its policy, so that weights are read exactly
        values = _walk(model, list(inputs), graph, (model.name,))
    refusals += graph.refusals
    outputs = list(zip(signature.output_names, values, strict=True))
    for name, value in outputs:
        if not isinstance(value, Value) or value.dtype != "float32":
            refusals.append(NotWritten(name, "is an output that holds no float32"))
    _raise(model, refusals)
    wanted = [(name, value) for name, value in outputs if isinstance(value, Value)]
    nodes = used_nodes(tuple(graph.nodes), tuple(value for _, value in wanted))
    program = Program(model.name, inputs, tuple(wanted), nodes)
    return ReadGraph(program, graph.made, graph.masks)


def _raise(model: Any, refusals: Sequence[NotWritten]) -> None:
    if refusals:
        listed = " | ".join(map(str, refusals))
        raise UnsupportedModelError(
            "E-MODEL-C-LAYER", f"model '{model.name}' cannot be written in C: {listed}"
        )


def _check_model(model: Any) -> None:
    if not is_functional(model):
        raise UnsupportedModelError(
            "E-MODEL-C-SUBCLASSED",
            f"model '{model.name}' is subclassed, and C is written from a graph of layers; build it"
            " with keras.Sequential or keras.Model(inputs, outputs), or try --to onnx",
        )
    if precision_of(model) == "float64":
        raise UnsupportedModelError(
            "E-MODEL-FLOAT64",
            f"model '{model.name}' computes in float64, and the C target in float32; try --to onnx",
        )


def _refused_inputs(signature: Signature) -> Iterator[NotWritten]:
    for tensor in signature.inputs:
        if tensor.dtype not in INPUT_DTYPES:
            known = ", ".join(INPUT_DTYPES)
            yield NotWritten(tensor.name, f"is an input of {tensor.dtype}, expected {known}")
        elif len(tensor.shape) > 3 or any(isinstance(dim, str) for dim in tensor.shape[2:]):
            reason = f"is an input {tensor}, expected (batch, time, features) or less"
            yield NotWritten(tensor.name, reason, "give each step a flat vector of a fixed size")


def input_value(tensor: TensorSpec) -> Value:
    """Return an input: of rank 3, or token ids or a mask (batch, time), or (batch, features)."""
    dims = tensor.shape[1:]
    has_time = len(dims) > 1 or (dims and (isinstance(dims[0], str) or tensor.dtype != "float32"))
    size = dims[-1] if len(dims) > 1 or (dims and not has_time) else 1
    time = str(dims[0]) if has_time else None
    return Value(tensor.name, size if isinstance(size, int) else 1, time, tensor.dtype)


def _walk(model: Any, inputs: Sequence[Any], graph: Graph, path: tuple[str, ...]) -> list[Any]:
    """Return the values of a model's outputs, its nodes added to `graph`. path: its names."""
    functional = functional_of(model) or model
    known: dict[int, Any] = {id(t): v for t, v in zip(functional.inputs, inputs, strict=True)}
    for node in nodes_in_order(functional):
        if not node.is_input and all(id(t) in known for t in node.input_tensors):
            _read_node(node, known, graph, path)
    graph.masks |= {
        place: known[id(mask)] for place, mask in graph.symbolic_masks if id(mask) in known
    }
    return [known[id(tensor)] for tensor in functional.outputs]


def _read_node(node: Any, known: dict[int, Any], graph: Graph, path: tuple[str, ...]) -> None:
    """Read one call, and before it the masks that only Keras' tensors know."""
    mask = implied_mask(node)
    for each in mask or ():
        if each is not None and id(each) not in known:
            _read_node(node_behind(each), known, graph, path)
    place = (*path, str(node.operation.name))
    results = _read(_call_of(node, known, mask), graph, place)
    of_output = get_keras_mask(node.outputs[0])
    if of_output is not None:
        graph.symbolic_masks.append(((place, graph.counts[place] - 1), of_output))
    known |= {id(t): v for t, v in zip(node.outputs, results, strict=True)}


def _call_of(node: Any, known: dict[int, Any], mask: Sequence[Any] | None) -> OpCall:
    def filled(given: Any) -> Any:
        return known[id(given)] if isinstance(given, keras.KerasTensor) else given

    def fill(structure: Any) -> Any:
        if isinstance(structure, list | tuple):
            return [fill(part) for part in structure]
        if isinstance(structure, dict):
            return {key: fill(part) for key, part in structure.items()}
        return filled(structure)

    shapes = [tuple(tensor.shape) for tensor in node.outputs]
    kwargs = node.arguments.kwargs | ({} if mask is None else {"mask": mask})
    return OpCall(node.operation, fill(node.arguments.args), fill(kwargs), shapes)


def _read(call: OpCall, graph: Graph, place: tuple[str, ...]) -> Sequence[Any]:
    """Return the values of one layer or operation, noted by its place in the model."""
    count = graph.counts[place]
    graph.counts[place] += 1
    graph.made[place, count] = results = _values(call, graph, place)
    return results


def _values(call: OpCall, graph: Graph, place: tuple[str, ...]) -> Sequence[Any]:
    """Return the values of one layer or operation.

    A refused one returns values of the same shape, so that what comes after it is read too.
    """
    if call.kwargs.get("training") and _normalises(call.op):
        reason = "normalises by the batch at hand (training=True)"
        graph.refusals.append(NotWritten(call.op.name, reason))
        return [_stand_in(call, shape) for shape in call.shapes]
    if isinstance(call.op, keras.Model):
        return _read_nested(call, graph, place)
    try:
        _check_weights(call.op)
        return _reader_of(call)(call, graph)
    except NotInCError as error:
        graph.refusals.append(error.about(call.op.name))
        return [_stand_in(call, shape) for shape in call.shapes]


def _normalises(op: Any) -> bool:
    """Return whether an operation is, or contains, a BatchNormalization that training changes."""
    layers = layers_in(op) if isinstance(op, keras.layers.Layer) else []
    return any(isinstance(x, keras.layers.BatchNormalization) and x.trainable for x in layers)


def _read_nested(call: OpCall, graph: Graph, place: tuple[str, ...]) -> Sequence[Any]:
    if call.kwargs.get("mask") is not None:
        reason = "is a model inside the model that a mask enters"
        advice = "apply its layers directly in the outer model"
        graph.refusals.append(NotWritten(call.op.name, reason, advice))
    if not is_functional(call.op):
        reason = "is a subclassed model, which has no graph of layers"
        graph.refusals.append(NotWritten(call.op.name, reason))
        return [_stand_in(call, shape) for shape in call.shapes]
    return _walk(call.op, call.values, graph, place)


def _reader_of(call: OpCall) -> Any:
    kind = type(call.op)
    if isinstance(call.op, keras.layers.Layer):
        reader = {**LAYERS, **RECURRENT, **ATTENTION}.get(kind)
        if reader is None:
            own = " with code of its own" if not kind.__module__.startswith("keras.") else ""
            what = f"a {kind.__name__}{own}"
            raise NotInCError(f"is {what}, which the C target does not write")
        return reader
    if kind in OPERATIONS:
        return OPERATIONS[kind]
    raise NotInCError(f"is the operation {kind.__name__}, which the C target does not write")


def _check_weights(op: Any) -> None:
    for weight in getattr(op, "weights", ()):
        value = np.asarray(weight)
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise NotInCError("has weights that are NaN or infinite", "train the model again")


def _stand_in(call: OpCall, shape: tuple[int | None, ...]) -> Value:
    times = [v.time for v in call.values if isinstance(v, Value) and v.time is not None]
    time = (times or [UNKNOWN])[0] if len(shape) > 2 else None
    return same_value(call, shape[-1] if len(shape) > 1 and shape[-1] else 1, time)
