"""Read operations of Keras' graph that are not layers: masks, slices, arithmetic."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_deploy.c.ir import DiffersNode, MergeNode, SliceNode, Value
from rnn_deploy.c.layers import (
    SOFTMAX,
    Reader,
    activated,
    concatenated,
    either,
    merged,
    same_value,
)
from rnn_deploy.c.refusal import Graph, NotInCError, OpCall, float_value
from rnn_deploy.keras.compat import NN_OPERATIONS as _NN
from rnn_deploy.keras.compat import NUMPY_OPERATIONS as _NUMPY
from rnn_deploy.numerics.cells import ACTIVATIONS


def _not_equal(call: OpCall, graph: Graph) -> Sequence[Any]:
    """Read whether a step differs from a value: the start of Masking's and Embedding's masks."""
    x, value = call.args[:2]
    if not isinstance(x, Value) or x.dtype == "bool" or not isinstance(value, int | float):
        raise NotInCError("compares something other than a sequence with a number")
    output = Value(call.name, 1, x.time, "bool")
    node = DiffersNode(layer=call.name, inputs=(x,), outputs=(output,), value=float(value))
    return graph.add(node)


def _any(call: OpCall, graph: Graph) -> Sequence[Any]:
    """Read `any` over the features; a mask already is one value for each step."""
    mask, axis = call.args[0], call.op.axis
    masks = isinstance(mask, bool) or (isinstance(mask, Value) and mask.dtype == "bool")
    if not masks or axis not in (-1, 2, [-1], (-1,)):
        raise NotInCError("is an Any that does not run over the features of a mask")
    return (mask,)


def _mask_itself(call: OpCall, graph: Graph) -> Sequence[Any]:
    """Read a reshaped mask, which is the mask itself here."""
    mask = call.args[0]
    if not isinstance(mask, bool) and not (isinstance(mask, Value) and mask.dtype == "bool"):
        raise NotInCError(
            f"is the operation {type(call.op).__name__} of a value that is not a mask"
        )
    return (mask,)


def _logical(call: OpCall, graph: Graph, *, both: bool) -> Sequence[Any]:
    masks = call.args[:2]
    if not all(isinstance(m, bool) or (isinstance(m, Value) and m.dtype == "bool") for m in masks):
        raise NotInCError("combines what are no masks")
    return either(call, graph, masks, both=both)


def _get_item(call: OpCall, graph: Graph) -> Sequence[Any]:
    x, key = call.x, call.args[1]
    parts = list(key) if isinstance(key, list | tuple) else [key]
    rank = 2 if x.time is None else 3
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (rank + 1 - len(parts))
    parts += [slice(None)] * (rank - len(parts))
    *others, last = parts
    if len(parts) != rank or any(part != slice(None) for part in others):
        raise NotInCError("slices another axis than the features")
    if not isinstance(last, slice):
        raise NotInCError("removes the axis of a feature", "slice it: x[..., i:i + 1]")
    start, stop, step = last.indices(x.size)
    size = len(range(start, stop, step))
    if not size:
        raise NotInCError("takes no feature at all")
    output = same_value(call, size, x.time)
    node = SliceNode(layer=call.name, inputs=(x,), outputs=(output,), start=start, step=step)
    return graph.add(node)


def _arithmetic(kind: str) -> Reader:
    def read(call: OpCall, graph: Graph) -> Sequence[Any]:
        first, second = call.args[:2]
        if isinstance(first, Value) and isinstance(second, Value):
            return merged(call, graph, kind, [first, second])
        value = float_value(first if isinstance(first, Value) else second)
        constant = second if isinstance(first, Value) else first
        try:
            constant = np.asarray(constant, np.float32)
        except (TypeError, ValueError) as error:
            raise NotInCError(
                "computes with a value that is neither a tensor nor a number"
            ) from error
        if constant.size not in (1, value.size) or constant.ndim > 1:
            raise NotInCError("computes with an array that is not one number for each feature")
        node = MergeNode(
            layer=call.name,
            inputs=(value,),
            outputs=(same_value(call, value.size, value.time),),
            kind=kind,
            constant=np.broadcast_to(constant.reshape(-1), value.size).copy(),
            constant_first=not isinstance(first, Value),
        )
        return graph.add(node)

    return read


def _concatenate(call: OpCall, graph: Graph) -> Sequence[Any]:
    return concatenated(call, graph, call.args[0], call.op.axis)


def _function(name: str) -> Reader:
    def read(call: OpCall, graph: Graph) -> Sequence[Any]:
        return activated(call, graph, name)

    return read


def _softmax(call: OpCall, graph: Graph) -> Sequence[Any]:
    if call.op.axis not in (-1, 1 if call.x.time is None else 2):
        raise NotInCError(f"works along axis {call.op.axis}, expected the last one")
    return activated(call, graph, SOFTMAX)


def _operations() -> dict[Any, Reader]:
    found: dict[Any, Reader] = {
        _NUMPY.NotEqual: _not_equal,
        _NUMPY.Any: _any,
        _NUMPY.ExpandDims: _mask_itself,
        _NUMPY.Squeeze: _mask_itself,
        _NUMPY.LogicalOr: lambda call, graph: _logical(call, graph, both=False),
        _NUMPY.LogicalAnd: lambda call, graph: _logical(call, graph, both=True),
        _NUMPY.ZerosLike: lambda call, graph: (False,),
        _NUMPY.OnesLike: lambda call, graph: (True,),
        _NUMPY.GetItem: _get_item,
        _NUMPY.Add: _arithmetic("add"),
        _NUMPY.Subtract: _arithmetic("subtract"),
        _NUMPY.Multiply: _arithmetic("multiply"),
        _NUMPY.Maximum: _arithmetic("maximum"),
        _NUMPY.Minimum: _arithmetic("minimum"),
        _NUMPY.Concatenate: _concatenate,
        _NUMPY.Tanh: _function("tanh"),
        _NN.Softmax: _softmax,
    }
    plain = {"Relu": "relu", "Relu6": "relu6", "Sigmoid": "sigmoid", "Softplus": "softplus"}
    plain |= {"Softsign": "softsign", "Selu": "selu", "HardSigmoid": "hard_sigmoid"}
    for kind, name in plain.items():
        if hasattr(_NN, kind) and name in ACTIVATIONS:
            found[getattr(_NN, kind)] = _function(name)
    return found


OPERATIONS = _operations()
