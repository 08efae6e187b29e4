"""Add the values of an ONNX model's layers to its outputs (needs onnx).

Nodes are named after their Keras layers. So a value leaves a layer if a node of another layer reads
it, or if it is an output.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rnn_deploy.optional import require

Inner = dict[str, list[str]]  # the names of the values that leave each layer


def with_inner_values(place: Path, entry: str, layers: Iterable[str]) -> tuple[bytes, Inner]:
    """Return the model file with extra outputs and its weights inside, and their names by layer.

    entry, layers: not used, since the file has one entry point and nodes name their layers.
    """
    onnx = require("onnx")
    model = onnx.load(place)
    leaving = _leaving(model.graph)
    known = {output.name for output in model.graph.output}
    extra = [name for names in leaving.values() for name in names if name not in known]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in extra)
    return model.SerializeToString(), leaving


def _leaving(graph: Any) -> Inner:
    outputs = {output.name for output in graph.output}
    read: dict[str, set[str]] = {}
    for node in graph.node:
        for name in (*node.input, *_read_inside(node)):
            read.setdefault(name, set()).add(_layer(node.name))
    leaving: Inner = {}
    for node in graph.node:
        layer = _layer(node.name)
        for name in node.output:
            if name and (name in outputs or read.get(name, set()) - {layer}):
                leaving.setdefault(layer, []).append(name)
    return leaving


def _read_inside(node: Any) -> list[str]:
    """Return the names that the bodies of a loop read."""
    bodies = [a.g for a in node.attribute if a.HasField("g")]
    return [name for body in bodies for inner in body.node for name in inner.input]


def _layer(name: str) -> str:
    return name.partition("/")[0]
