"""Merge TFLite models to one file with a named signature for each.

This works on the flatbuffer's object form (schema.fbs of TFLite). Subgraphs of further models are
appended, and their indices are shifted: buffers, operator codes, and the subgraphs of a WHILE or
IF. Buffers with equal bytes become one, so shared weights are stored once.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_deploy.keras.compat import schema
from rnn_deploy.spec import EntryPoint, TensorSpec
from rnn_deploy.tflite.flatbuffer.packing import packed


def merged(files: Sequence[tuple[bytes, EntryPoint]]) -> bytes:
    """Return the files as one; the main subgraph of each is the signature of its entry point."""
    return merged_models([(unpacked(content), entry) for content, entry in files])


def merged_models(files: Sequence[tuple[Any, EntryPoint]]) -> bytes:
    """Merge object forms, and change them, like `merged` merges files.

    The main subgraph of the first one stays the main subgraph of the file.
    """
    models = [_with_signature(model, entry) for model, entry in files]
    first = models[0]
    for other in models[1:]:
        _append(first, other)
    share_buffers(first)
    share_codes(first)
    return packed(first)


def unpacked(content: bytes) -> Any:
    """Return a file's object form with all data; a large file has them after the flatbuffer."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    for buffer in model.buffers:
        if buffer.size:
            end = buffer.offset + buffer.size
            buffer.data = np.frombuffer(content[buffer.offset : end], np.uint8)
            buffer.offset = buffer.size = 0
    return model


def _with_signature(model: Any, entry: EntryPoint) -> Any:
    """Make the main subgraph the signature `entry.name`, and give its tensors the same names."""
    main = model.subgraphs[0]
    # Names help users who inspect the file; constants and tensors in loops need none.
    outputs = {int(index) for operator in main.operators for index in operator.outputs}
    for graph in model.subgraphs:
        graph.name = b""
        for index, tensor in enumerate(graph.tensors):
            named = graph is main and index in outputs
            tensor.name = _shortened(tensor.name) if named else None
            if tensor.quantization is not None and tensor.quantization.scale is None:
                tensor.quantization = None  # an empty table
    main.name = entry.name.encode()
    definition = schema.SignatureDefT()
    definition.signatureKey = entry.name.encode()
    definition.subgraphIndex = 0
    definition.inputs = _named(main, main.inputs, entry.all_inputs)
    definition.outputs = _named(main, main.outputs, entry.all_outputs)
    model.signatureDefs = [definition]
    return model


def _append(first: Any, other: Any) -> None:
    graphs, codes, buffers = (
        len(part) for part in (first.subgraphs, first.operatorCodes, first.buffers)
    )
    for graph in other.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer += buffers
        for operator in graph.operators:
            operator.opcodeIndex += codes
            _move_subgraphs(operator.builtinOptions, graphs)
    for definition in other.signatureDefs:
        definition.subgraphIndex += graphs
    first.subgraphs.extend(other.subgraphs)
    first.operatorCodes.extend(other.operatorCodes)
    first.buffers.extend(other.buffers)
    first.signatureDefs.extend(other.signatureDefs)


def _move_subgraphs(options: Any, by: int) -> None:
    if options is None:
        return
    for name in vars(options):
        if name.endswith("SubgraphIndex"):
            setattr(options, name, getattr(options, name) + by)


def share_buffers(model: Any) -> None:
    """Keep one buffer for each content; an empty one means 'no data' and all become buffer 0."""
    places: dict[bytes, int] = {}
    kept: list[Any] = [schema.BufferT()]
    moved = []
    for buffer in model.buffers:
        content = b"" if buffer.data is None else bytes(buffer.data)
        key = hashlib.sha256(content).digest()
        if content and key not in places:
            places[key] = len(kept)
            kept.append(buffer)
        moved.append(places[key] if content else 0)
    model.buffers = kept
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer = moved[tensor.buffer]
    for metadata in model.metadata or ():
        metadata.buffer = moved[metadata.buffer]
    model.metadataBuffer = []


def _shortened(name: bytes | None) -> bytes:
    """Return the first operation in a tensor's name; the converter lists all that were merged."""
    return (name or b"").partition(b";")[0]


def share_codes(model: Any) -> None:
    """Remove unused operator codes, and keep one of equal ones."""
    kept: dict[tuple[Any, ...], Any] = {}
    places: dict[tuple[Any, ...], int] = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            key = tuple(vars(code).values())
            kept.setdefault(key, code)
            operator.opcodeIndex = places.setdefault(key, len(places))
    model.operatorCodes = list(kept.values())


def _named(graph: Any, indices: Sequence[int], tensors: Sequence[TensorSpec]) -> list[Any]:
    maps = []
    for index, tensor in zip(indices, tensors, strict=True):
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = tensor.name.encode(), int(index)
        graph.tensors[index].name = tensor.name.encode()
        maps.append(entry)
    return maps
