"""Quantise the tables of Embeddings, which the quantiser ignores.

    table (float32) -> GATHER            becomes
    table (int8 or float16) -> GATHER -> DEQUANTIZE

so that only the rows that are looked up are dequantised. An int8 table has one scale.
"""

from typing import Any

import numpy as np

from rnn_deploy.keras.compat import schema
from rnn_deploy.spec import Array, Weights
from rnn_deploy.tflite.flatbuffer.editor import SubgraphEditor
from rnn_deploy.tflite.quantise.recurrent_weights import content_of, operator_names

_BUILTIN = schema.BuiltinOperator
_FLOAT32 = schema.TensorType.FLOAT32
# The operators' versions that accept the type, from TFLite's tools/versioning/op_version.cc.
_VERSIONS = {"float16": (1, 3), "int8": (2, 2)}  # of GATHER and DEQUANTIZE


def quantise_tables(model: Any, dtype: str) -> None:
    """Store every lookup table as `dtype`: "float16" or "int8"."""
    for graph in model.subgraphs:
        editor = SubgraphEditor(model, graph)
        named = list(zip(graph.operators, operator_names(model, graph), strict=True))
        lookups = [operator for operator, name in named if name == "GATHER" and _by_row(operator)]
        others = [operator for operator, _ in named if operator not in lookups]
        used = {int(index) for operator in others for index in operator.inputs}
        tables = {int(lookup.inputs[0]) for lookup in lookups} - used
        tables = {index for index in tables if _is_matrix(model, graph.tensors[index])}
        for index in sorted(tables):
            _make_small(editor, graph.tensors[index], dtype)
        graph.operators = [
            each
            for operator in graph.operators
            for each in (
                _looked_up(editor, operator, dtype)
                if operator in lookups and int(operator.inputs[0]) in tables
                else [operator]
            )
        ]


def _by_row(operator: Any) -> bool:
    options = operator.builtinOptions
    return options is not None and options.axis == 0 and not options.batchDims


def _is_matrix(model: Any, tensor: Any) -> bool:
    matrix = tensor.shape is not None and len(tensor.shape) == 2
    return matrix and tensor.type == _FLOAT32 and bool(content_of(model, tensor))


def _make_small(editor: SubgraphEditor, table: Any, dtype: str) -> None:
    values = np.frombuffer(content_of(editor.model, table), np.float32).reshape(table.shape)
    small, scale = _small(values, dtype)
    made = editor.graph.tensors[editor.constant(small)]
    table.type, table.buffer, table.quantization = made.type, made.buffer, _scaled(scale)
    editor.graph.tensors.pop()


def _looked_up(editor: SubgraphEditor, gather: Any, dtype: str) -> list[Any]:
    """Return the lookup of quantised rows, and the operator that dequantises them."""
    tensors, output = editor.graph.tensors, int(gather.outputs[0])
    shape = tensors[output].shapeSignature
    shape = tensors[output].shape if shape is None else shape
    rows = editor.tensor(list(map(int, shape)), dtype=dtype)
    tensors[rows].quantization = tensors[int(gather.inputs[0])].quantization
    lookup, turning = _VERSIONS[dtype]
    gather.outputs = np.array([rows], np.int32)
    gather.opcodeIndex = editor.code(_BUILTIN.GATHER, lookup)
    kind, options = schema.BuiltinOptions.DequantizeOptions, schema.DequantizeOptionsT()
    code = _BUILTIN.DEQUANTIZE
    return [gather, editor.operator(code, [rows], [output], kind, options, turning)]


def _small(values: Weights, dtype: str) -> tuple[Array, float | None]:
    if dtype == "float16":
        return values.astype(np.float16), None
    scale = float(np.max(np.abs(values), initial=0.0)) / 127 or 1.0
    return np.asarray(np.round(values / scale), np.int8), scale


def _scaled(scale: float | None) -> Any:
    if scale is None:
        return None
    parameters = schema.QuantizationParametersT()
    parameters.scale = np.array([scale], np.float32)
    parameters.zeroPoint = np.array([0], np.int64)
    return parameters
