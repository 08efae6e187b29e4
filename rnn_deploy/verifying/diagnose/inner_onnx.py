"""An ONNX model whose layers' values are outputs, too (needs onnx).

Nodes are named after their Keras layers, so a value leaves a layer where a node of another name
reads it, or it is an output.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rnn_deploy.optional import require

Inner = dict[str, list[str]]  # the names of the values that leave each layer


def with_inner_values(place: Path, entry: str, layers: Iterable[str]) -> tuple[bytes, Inner]:
    """The model file with them as further outputs, its weights inside; their names by layer.

    (The file holds one entry point, and every node says its layer: neither must be known.)
    """
    onnx = require("onnx")
    model = onnx.load(place)
    leaving = _leaving(model.graph)
    there = {output.name for output in model.graph.output}
    extra = [name for names in leaving.values() for name in names if name not in there]
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
    """What the bodies of a loop read from outside."""
    bodies = [a.g for a in node.attribute if a.HasField("g")]
    return [name for body in bodies for inner in body.node for name in inner.input]


def _layer(name: str) -> str:
    return name.partition("/")[0]
