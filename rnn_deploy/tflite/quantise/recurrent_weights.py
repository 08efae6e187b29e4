"""Find the recurrent weights of a TFLite file, for any lowering, and their stored types.

A weight is a constant operand of a product. It is recurrent in four cases: an innermost WHILE uses
it in its body; more than one operator of its graph uses it (unrolled steps); a fused recurrent
operator uses it as such; or it consists of columns of a layer's recurrent kernel (a single step).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rnn_deploy.keras.compat import schema
from rnn_deploy.spec import Array

Place = tuple[int, int]  # subgraph, tensor

_OPERATORS = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
_TYPES = {v: k for k, v in vars(schema.TensorType).items() if not k.startswith("_")}
_PRODUCTS = {
    "FULLY_CONNECTED": (1,),
    "BATCH_MATMUL": (0, 1),
    "CONV_2D": (1,),
    "DEPTHWISE_CONV_2D": (1,),
    "CONV_3D": (1,),
    "TRANSPOSE_CONV": (1,),
}
_FUSED = {"UNIDIRECTIONAL_SEQUENCE_RNN": (2,), "UNIDIRECTIONAL_SEQUENCE_LSTM": (5, 6, 7, 8)}


def recurrent_weights(model: Any, kernels: Sequence[Array]) -> tuple[Place, ...]:
    """Return the places of the recurrent weights of a float32 model, one for each weight.

    model: the flatbuffer's object form. kernels: the layers' recurrent kernels (units, columns).
    """
    columns = {column.tobytes() for kernel in kernels for column in kernel.T.astype(np.float32)}
    bodies = _bodies(model)
    found: dict[bytes, Place] = {}
    for index, graph in enumerate(model.subgraphs):
        fused = set(_operands(model, graph, _FUSED))
        uses = Counter(_operands(model, graph, _PRODUCTS))
        for tensor in dict.fromkeys([*fused, *uses]):
            content = content_of(model, graph.tensors[tensor])
            if not content:
                continue
            recurrent = index in bodies or tensor in fused or uses[tensor] > 1
            if recurrent or _made_of(columns, graph.tensors[tensor], content):
                found.setdefault(content, (index, tensor))
    return tuple(found.values())


def kept_as(model: Any, place: Place) -> str:
    """Return the type in which a weight is stored: FLOAT32, FLOAT16, INT8."""
    graph, tensor = place
    return _TYPES[model.subgraphs[graph].tensors[tensor].type]


def content_of(model: Any, tensor: Any) -> bytes:
    """Return a constant's bytes; empty for a computed tensor."""
    data = model.buffers[tensor.buffer].data
    return b"" if data is None else bytes(data)


def operator_names(model: Any, graph: Any) -> list[str]:
    """Return the builtin operators of a graph by name, in order."""
    return [_name(model, operator) for operator in graph.operators]


def weight_bytes(model: Any) -> int:
    """Return the bytes of all constants, each once, without integers of shapes and indices."""
    kept = {"FLOAT32", "FLOAT16", "INT8"}
    tensors = (t for graph in model.subgraphs for t in graph.tensors if _TYPES[t.type] in kept)
    return sum(map(len, {content_of(model, tensor) for tensor in tensors}))


def left_float(model: Any) -> tuple[tuple[str, tuple[int, ...], int], ...]:
    """Return operator, shape and bytes of each float32 weight, without vectors (biases)."""
    found: dict[bytes, tuple[str, tuple[int, ...], int]] = {}
    for graph in model.subgraphs:
        for operator, name in zip(graph.operators, operator_names(model, graph), strict=True):
            for tensor in (graph.tensors[i] for i in operator.inputs if i >= 0):
                shape = () if tensor.shape is None else tuple(map(int, tensor.shape))
                content = content_of(model, tensor)
                if content and _TYPES[tensor.type] == "FLOAT32" and sum(n > 1 for n in shape) > 1:
                    found.setdefault(content, (name, shape, len(content)))
    return tuple(found.values())


def _name(model: Any, operator: Any) -> str:
    code = model.operatorCodes[operator.opcodeIndex]
    return _OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]


def _operands(model: Any, graph: Any, places: dict[str, tuple[int, ...]]) -> Iterator[int]:
    for operator in graph.operators:
        for place in places.get(_name(model, operator), ()):
            if operator.inputs[place] >= 0:
                yield int(operator.inputs[place])


def _bodies(model: Any) -> set[int]:
    """Return the subgraphs that are bodies of the innermost loops, which compute the steps.

    The bodies around them compute the products of inputs.
    """
    bodies: dict[int, set[int]] = {}
    for index, graph in enumerate(model.subgraphs):
        loops = (o for o in graph.operators if _name(model, o) == "WHILE")
        bodies[index] = {loop.builtinOptions.bodySubgraphIndex for loop in loops}
    return {index for inner in bodies.values() for index in inner if not bodies[index]}


def _made_of(columns: set[bytes], tensor: Any, content: bytes) -> bool:
    if _TYPES[tensor.type] != "FLOAT32" or len(tensor.shape) != 2:
        return False
    rows = np.frombuffer(content, np.float32).reshape(tensor.shape)
    return all(row.tobytes() in columns for row in rows)
