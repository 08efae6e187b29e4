"""Loops that write their outputs in place, because tensors with the same content share a name.

A loop that carries a buffer and writes a few rows of it at every turn:

    body(t, buffer, ...) -> t + k, DYNAMIC_UPDATE_SLICE(buffer, rows, t), ...

TFLite copies the whole buffer twice a turn: to the output of the operator, and from there to the
output of the WHILE, from which the body reads the buffer. Here the body takes the buffer twice, the
second time as the tensor that the operator writes, and the WHILE returns both in one tensor:

    WHILE(t, begin, ..., begin) -> t, end, ..., end
    body(t, buffer, ..., written) -> t + k, written, ..., written

So the operator reads and writes one memory, and each copy has the same source and destination,
which TFLite skips. If an interpreter copies all values that it carries, the results are the same.
The quantiser identifies tensors by the operator that writes them, so it receives the plain form.
"""

from collections.abc import Iterator
from copy import copy
from typing import Any

import numpy as np

from rnn_deploy.keras.compat import schema
from rnn_deploy.tflite.flatbuffer.merge import unpacked
from rnn_deploy.tflite.flatbuffer.packing import packed

_BUILTIN = schema.BuiltinOperator


def written_in_place(content: bytes) -> bytes:
    """Return the file; its loops are changed by `write_in_place`."""
    model = unpacked(content)
    write_in_place(model)
    return packed(model)


def write_in_place(model: Any) -> None:
    """Change each loop of an object form to update the buffers that it carries in place."""
    for graph in model.subgraphs:
        for loop in graph.operators:
            if _code(model, loop) == _BUILTIN.WHILE:
                _alias(model, loop)


def written_apart(content: bytes) -> bytes:
    """Return the plain form of such a file; return any other file unchanged."""
    model = unpacked(content)
    twice = [
        (loop, place)
        for graph in model.subgraphs
        for loop in graph.operators
        if _code(model, loop) == _BUILTIN.WHILE
        for place in reversed(range(len(loop.outputs)))
        if loop.outputs[place] in loop.outputs[:place]
    ]
    for loop, place in twice:
        options = loop.builtinOptions
        graphs = [
            model.subgraphs[i] for i in (options.bodySubgraphIndex, options.condSubgraphIndex)
        ]
        for owner in (loop, *graphs):
            owner.inputs = np.delete(owner.inputs, place)
        for owner in (loop, graphs[0]):
            owner.outputs = np.delete(owner.outputs, place)
    return packed(model) if twice else content


def _alias(model: Any, loop: Any) -> None:
    options = loop.builtinOptions
    body = model.subgraphs[options.bodySubgraphIndex]
    condition = model.subgraphs[options.condSubgraphIndex]
    for place, written in list(_updated(model, body)):
        condition.tensors.append(copy(condition.tensors[condition.inputs[place]]))
        condition.inputs = _with(condition.inputs, len(condition.tensors) - 1)
        body.inputs, body.outputs = _with(body.inputs, written), _with(body.outputs, written)
        loop.inputs = _with(loop.inputs, loop.inputs[place])
        loop.outputs = _with(loop.outputs, loop.outputs[place])


def _updated(model: Any, body: Any) -> Iterator[tuple[int, int]]:
    """Yield the index of a carried buffer, and the tensor with its content after a turn."""
    for operator in body.operators:
        if _code(model, operator) != _BUILTIN.DYNAMIC_UPDATE_SLICE:
            continue
        buffer, written = operator.inputs[0], operator.outputs[0]
        for place, (before, after) in enumerate(zip(body.inputs, body.outputs, strict=True)):
            if (before, after) == (buffer, written):
                yield place, int(written)


def _with(indices: Any, index: int) -> Any:
    return np.append(indices, index).astype(np.int32)


def _code(model: Any, operator: Any) -> int:
    code = model.operatorCodes[operator.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode)
