"""Add the values of a TFLite model's layers to its outputs (needs ai-edge-litert).

The converter names the results of operators after the scopes they were traced in, for example
`model/lstm_1/add`: a Keras layer's own name, made unique by a number. Constants and values within
loops have no names.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rnn_deploy.optional import require

IDENTIFIER = b"TFL3"
Inner = dict[str, list[str]]  # the names of the values of each layer


def with_inner_values(place: Path, entry: str, layers: Iterable[str]) -> tuple[bytes, Inner]:
    """Return the model file with extra outputs of the signature, and their names by layer."""
    schema = require("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(place.read_bytes(), 0))
    signature = next(d for d in model.signatureDefs if d.signatureKey == entry.encode())
    graph = model.subgraphs[signature.subgraphIndex]
    names = {int(output.tensorIndex): output.name.decode() for output in signature.outputs}
    inner: Inner = {}
    for index in _computed(graph, schema.TensorType.FLOAT32):
        owners = _layers(graph.tensors[index].name or b"", set(layers))
        if owners and index not in names:
            names[index] = f"value_{index}"
            graph.outputs = [*graph.outputs, index]
            output = schema.TensorMapT()
            output.name, output.tensorIndex = names[index].encode(), index
            signature.outputs.append(output)
        for layer in owners:
            inner.setdefault(layer, []).append(names[index])
    return packed(model), inner


def packed(model: Any) -> bytes:
    """Serialise a model in the schema's object form."""
    builder = require("ai_edge_litert.schema_py_generated").flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _computed(graph: Any, dtype: int) -> list[int]:
    """Return the results of operators in order: those of one type that are no scalars."""
    results = dict.fromkeys(int(index) for op in graph.operators for index in op.outputs)
    tensors = ((index, graph.tensors[index]) for index in results if index >= 0)
    return [i for i, tensor in tensors if tensor.type == dtype and len(tensor.shape) > 1]


def _layers(name: bytes, known: set[str]) -> list[str]:
    """Return the layers whose scope is part of a tensor's name."""
    parts = re.split("[/;]", name.decode("utf-8", "replace"))
    both = (form for part in parts for form in (part, re.sub(r"_\d+$", "", part)))
    return [form for form in dict.fromkeys(both) if form in known]
