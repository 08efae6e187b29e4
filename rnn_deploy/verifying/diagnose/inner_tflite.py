"""A TFLite model whose layers' values are outputs, too (needs ai-edge-litert).

The converter names what operators give after the scopes they were traced in, `model/lstm_1/add`
say: a Keras layer's own name, made unique by a number. Constants, and what lies within loops,
bear no names.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rnn_deploy.optional import require

IDENTIFIER = b"TFL3"
Inner = dict[str, list[str]]  # the names of the values of each layer


def with_inner_values(place: Path, entry: str, layers: Iterable[str]) -> tuple[bytes, Inner]:
    """The model file with them as further outputs of the signature; their names by layer."""
    schema = require("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(place.read_bytes(), 0))
    signature = next(d for d in model.signatureDefs if d.signatureKey == entry.encode())
    graph = model.subgraphs[signature.subgraphIndex]
    names = {int(told.tensorIndex): told.name.decode() for told in signature.outputs}
    inner: Inner = {}
    for index in _computed(graph, schema.TensorType.FLOAT32):
        of = _layers(graph.tensors[index].name or b"", set(layers))
        if of and index not in names:
            names[index] = f"value_{index}"
            graph.outputs = [*graph.outputs, index]
            told = schema.TensorMapT()
            told.name, told.tensorIndex = names[index].encode(), index
            signature.outputs.append(told)
        for layer in of:
            inner.setdefault(layer, []).append(names[index])
    return packed(model), inner


def packed(model: Any) -> bytes:
    """The file of a model in the schema's object form."""
    builder = require("ai_edge_litert.schema_py_generated").flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _computed(graph: Any, dtype: int) -> list[int]:
    """The tensors that operators give, in order, of a type; no scalars."""
    given = dict.fromkeys(int(index) for op in graph.operators for index in op.outputs)
    tensors = ((index, graph.tensors[index]) for index in given if index >= 0)
    return [i for i, tensor in tensors if tensor.type == dtype and len(tensor.shape) > 1]


def _layers(name: bytes, known: set[str]) -> list[str]:
    """The layers whose scope stands in a tensor's name."""
    parts = re.split("[/;]", name.decode("utf-8", "replace"))
    both = (form for part in parts for form in (part, re.sub(r"_\d+$", "", part)))
    return [form for form in dict.fromkeys(both) if form in known]
