"""An ONNX artifact compared with the original model layer by layer.

    artifact --every value that leaves a layer as an extra output--> run --> each beside the layer's

Nodes are named after their Keras layers, so a value leaves a layer where a node of another name
reads it, or it is an output. Where several of a layer's values have its output's shape (an LSTM's h
and c), the nearest is taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import InputError, one_line
from rnn_deploy.optional import require
from rnn_deploy.runtimes.feeds import checker
from rnn_deploy.spec import Array
from rnn_deploy.verifying.compare import Comparison, compare, max_abs_error
from rnn_deploy.verifying.tolerance import budget


@dataclass(frozen=True, eq=False)
class LayerTruth:
    """One call of a Keras layer: what it gives in float64, and in TensorFlow's float32."""

    layer: str
    true: Array
    reference: Array


@dataclass(frozen=True, eq=False)
class LayerCompared:
    """One layer: what it gave, compared; None where no value of the graph is its output."""

    layer: str
    comparison: Comparison | None = None
    found: Array | None = None


def compared_by_layer(
    bundle: Bundle, entry: str, feeds: Mapping[str, Array], layers: Sequence[LayerTruth]
) -> list[LayerCompared]:
    """Every layer of the ONNX artifact of an entry point beside the original, in order."""
    found = _values_by_layer(bundle, entry, feeds)
    return [_compared(truth, found.get(truth.layer, [])) for truth in layers]


def _compared(truth: LayerTruth, values: Sequence[Array]) -> LayerCompared:
    turned = [value.swapaxes(0, 1) for value in values if value.ndim > 2]  # stacked: time first
    fitting = [value for value in (*values, *turned) if value.shape == truth.true.shape]
    if not fitting:
        return LayerCompared(truth.layer)
    nearest = min(fitting, key=lambda value: max_abs_error(value, truth.true))
    own = max_abs_error(truth.reference, truth.true)
    comparison = compare(
        nearest,
        truth.true,
        runtime="ort-cpu",
        check="by layer",
        case="",
        name=truth.layer,
        kind="output",
        budget=budget(truth.true, own),
        reference_error=own,
    )
    return LayerCompared(truth.layer, comparison, nearest)


def _values_by_layer(
    bundle: Bundle, entry: str, feeds: Mapping[str, Array]
) -> dict[str, list[Array]]:
    """What leaves each layer when the artifact runs."""
    artifact = bundle.manifest.artifact("onnx", entry)
    if artifact is None:
        raise InputError(f"{bundle.root}: holds no ONNX artifact, whose layers could be seen")
    if artifact.weights is not None:
        bundle.checked(artifact.weights)
    model = require("onnx").load(bundle.checked(artifact.path))
    leaving = _leaving(model.graph)
    there = {output.name for output in model.graph.output}
    extra = [name for names in leaving.values() for name in names if name not in there]
    model.graph.output.extend(require("onnx").ValueInfoProto(name=name) for name in extra)
    values = _run(model, bundle, entry, feeds)
    return {layer: [values[name] for name in names] for layer, names in leaving.items()}


def _leaving(graph: Any) -> dict[str, list[str]]:
    """The names of the values that leave each layer."""
    outputs = {output.name for output in graph.output}
    read: dict[str, set[str]] = {}
    for node in graph.node:
        for name in (*node.input, *_read_inside(node)):
            read.setdefault(name, set()).add(_layer(node.name))
    leaving: dict[str, list[str]] = {}
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


def _run(model: Any, bundle: Bundle, entry: str, feeds: Mapping[str, Array]) -> dict[str, Array]:
    ort = require("onnxruntime")
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    point = bundle.manifest.entry(entry)
    arrays = checker(point)(feeds)
    named = {tensor.name: value for tensor, value in zip(point.all_inputs, arrays, strict=True)}
    try:
        session = ort.InferenceSession(
            model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        results = session.run(names, named)
    except Exception as error:  # onnxruntime's exceptions have no common base of their own
        raise InputError(f"{bundle.root}: the model with every layer's output did not run:"
                         f" {one_line(error)}") from error  # fmt: skip
    return dict(zip(names, map(np.asarray, results), strict=True))
