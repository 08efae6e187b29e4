"""Operators that TFLite-Micro lacks, replaced by those that it has.

Masks need them. Each replacement computes the same values, NaN included:

    SELECT(c, a, b)        -> SELECT_V2(c, a, b), where all have one shape
    SELECT of INT32        -> b + CAST(c) * (a - b)
    REDUCE_ANY(x, axes)    -> LOGICAL_NOT(REDUCE_ALL(LOGICAL_NOT(x), axes))
    an operator that only moves values and takes no BOOL
                           -> CAST to FLOAT32, the operator, NOT_EQUAL to zero

Of floats a sum of products would not do: a masked value may be NaN or infinite, and zero times that
is NaN.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_deploy.keras.compat import schema
from rnn_deploy.tflite.flatbuffer.editor import SubgraphEditor
from rnn_deploy.tflite.flatbuffer.merge import share_buffers, share_codes, unpacked
from rnn_deploy.tflite.flatbuffer.packing import packed

_BUILTIN = schema.BuiltinOperator
_OPTIONS = schema.BuiltinOptions
_BOOL = schema.TensorType.BOOL
# They move values, and their kernels there take FLOAT32 and no BOOL.
_MOVING = {
    _BUILTIN.UNPACK, _BUILTIN.PACK, _BUILTIN.GATHER, _BUILTIN.GATHER_ND, _BUILTIN.TRANSPOSE,
    _BUILTIN.SPLIT, _BUILTIN.SPLIT_V, _BUILTIN.EXPAND_DIMS,
}  # fmt: skip


def for_micro(content: bytes) -> bytes:
    """Return a TFLite file with the operators that TFLite-Micro has in place of equal ones."""
    model = unpacked(content)
    for graph in model.subgraphs:
        editor = SubgraphEditor(model, graph)
        graph.operators = [new for old in graph.operators for new in _replaced(editor, old)]
    share_buffers(model)
    share_codes(model)
    return packed(model)


def _replaced(editor: SubgraphEditor, operator: Any) -> Sequence[Any]:
    code = editor.model.operatorCodes[operator.opcodeIndex].builtinCode
    alike = code == _BUILTIN.SELECT and _have_one_shape(editor.graph, operator)
    if alike or code == _BUILTIN.SELECT_V2:
        return _selected(editor, operator)
    if code == _BUILTIN.REDUCE_ANY:
        return _any_of(editor, operator)
    if code in _MOVING:
        return _moved_as_float(editor, operator)
    return [operator]


def _have_one_shape(graph: Any, operator: Any) -> bool:
    # SELECT also takes a vector of conditions for whole rows, which SELECT_V2 would broadcast.
    shapes = {tuple(graph.tensors[index].shape) for index in operator.inputs}
    return len(shapes) == 1


def _selected(editor: SubgraphEditor, operator: Any) -> Sequence[Any]:
    (c, a, b), (result,) = map(int, operator.inputs), map(int, operator.outputs)
    if editor.graph.tensors[result].type != schema.TensorType.INT32:
        kind, options = _OPTIONS.SelectV2Options, schema.SelectV2OptionsT()
        return [editor.operator(_BUILTIN.SELECT_V2, [c, a, b], [result], kind, options)]
    chosen = _like(editor, c, "int32")
    difference, product = (_like(editor, result, "int32") for _ in range(2))
    arithmetic = (
        (_BUILTIN.SUB, [a, b], difference, _OPTIONS.SubOptions, schema.SubOptionsT()),
        (_BUILTIN.MUL, [chosen, difference], product, _OPTIONS.MulOptions, schema.MulOptionsT()),
        (_BUILTIN.ADD, [product, b], result, _OPTIONS.AddOptions, schema.AddOptionsT()),
    )
    return [
        _cast(editor, c, chosen, schema.TensorType.INT32),
        *(editor.operator(code, i, [o], kind, options) for code, i, o, kind, options in arithmetic),
    ]


def _cast(editor: SubgraphEditor, mask: int, result: int, to: int) -> Any:
    options = schema.CastOptionsT()
    options.inDataType, options.outDataType = _BOOL, to
    return editor.operator(_BUILTIN.CAST, [mask], [result], _OPTIONS.CastOptions, options)


def _any_of(editor: SubgraphEditor, operator: Any) -> Sequence[Any]:
    (x, axes), (result,) = map(int, operator.inputs), map(int, operator.outputs)
    negated, none = (_like(editor, index, "bool") for index in (x, result))
    kind, options = _OPTIONS.ReducerOptions, operator.builtinOptions
    return [
        _not(editor, x, negated),
        editor.operator(_BUILTIN.REDUCE_ALL, [negated, axes], [none], kind, options),
        _not(editor, none, result),
    ]


def _not(editor: SubgraphEditor, x: int, result: int) -> Any:
    kind, options = _OPTIONS.LogicalNotOptions, schema.LogicalNotOptionsT()
    return editor.operator(_BUILTIN.LOGICAL_NOT, [x], [result], kind, options)


def _moved_as_float(editor: SubgraphEditor, operator: Any) -> Sequence[Any]:
    """Return the operator on FLOAT32 if it moves BOOL, with what converts there and back."""
    before: list[Any] = []
    after: list[Any] = []
    floats: dict[int, int] = {}
    for index in map(int, (*operator.inputs, *operator.outputs)):
        if editor.graph.tensors[index].type == _BOOL and index not in floats:
            floats[index] = _like(editor, index, "float32")
    for index in {int(i) for i in operator.inputs} & floats.keys():
        before.append(_cast(editor, index, floats[index], schema.TensorType.FLOAT32))
    for index in map(int, operator.outputs):
        if index in floats:
            zero = editor.constant(np.zeros((), np.float32))
            kind, unequal = _OPTIONS.NotEqualOptions, schema.NotEqualOptionsT()
            inputs = [floats[index], zero]
            after.append(editor.operator(_BUILTIN.NOT_EQUAL, inputs, [index], kind, unequal))
    for name in ("inputs", "outputs"):
        moved = [floats.get(int(i), int(i)) for i in getattr(operator, name)]
        setattr(operator, name, np.array(moved, np.int32))
    return [*before, operator, *after]


def _like(editor: SubgraphEditor, index: int, dtype: str) -> int:
    """Add a tensor with the shape of another."""
    return editor.tensor([int(dim) for dim in editor.graph.tensors[index].shape], dtype=dtype)
