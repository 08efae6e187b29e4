"""Loops that write their outputs where they stay: tensors of one content named alike.

A loop that carries a buffer and writes a few rows of it at every turn

    body(t, buffer, ...) -> t + k, DYNAMIC_UPDATE_SLICE(buffer, rows, t), ...

is copied by TFLite twice a turn, whole: into what the operator makes, and from there into what the
WHILE gives, in whose memory the body reads the buffer. Here the body takes the buffer twice, the
second time under the name of what the operator makes, and the WHILE gives both in one tensor:

    WHILE(t, begin, ..., begin) -> t, end, ..., end
    body(t, buffer, ..., written) -> t + k, written, ..., written

So what is read and what is written are in one memory, and each copy is of a place to itself,
which is none. The values are the same where an interpreter copies all it carries. A quantiser,
which tells tensors by who makes them, is given the plain form.
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
    """Return the file with its loops changed as `write_in_place` does."""
    model = unpacked(content)
    write_in_place(model)
    return packed(model)


def write_in_place(model: Any) -> None:
    """Let each loop of an object form update the buffers that it carries in place."""
    for graph in model.subgraphs:
        for loop in graph.operators:
            if _code(model, loop) == _BUILTIN.WHILE:
                _alias(model, loop)


def written_apart(content: bytes) -> bytes:
    """Return the plain form of such a file; of any other, the file itself."""
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
    """Where a buffer is carried, and the tensor that it is after a turn."""
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
