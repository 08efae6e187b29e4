"""Passes over the finished ONNX graph, and its names.

onnx-ir's own passes do most of the work; ours cancel transpositions between stacked layers. Names
come last: inputs and outputs like the entry point's, nodes without TensorFlow's outer scopes.
"""

import re
from collections.abc import Collection, Iterator

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from rnn_deploy.spec import EntryPoint

RECURRENT = ("RNN", "GRU", "LSTM")


def clean(model: ir.Model) -> None:
    """Remove unnecessary nodes from a graph; its outputs do not change."""
    model.graph.sort()
    passes = ir.passes.Sequential(
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.IdentityEliminationPass(),
        DropNoAxesPass(),
        CancelTransposesPass(),
        common.CommonSubexpressionEliminationPass(),
        JoinLayersPass(),
        common.DeduplicateInitializersPass(size_limit=1 << 32),
        common.RemoveUnusedNodesPass(),
        # After the eliminations, which may leave one value as two outputs; runtimes fail on that.
        common.OutputFixPass(),
        common.TopologicalSortPass(),
    )
    passes(model)


class DropNoAxesPass(ir.passes.InPlacePass):  # type: ignore[misc]
    """Replace Unsqueeze(x, no axes) by x: OpenVINO would add an axis and not load the file.

    tf2onnx writes it for an einsum.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in model.graph:
            if node.op_type != "Unsqueeze" or node.inputs[0] is None or node.inputs[1] is None:
                continue
            axes = node.inputs[1].const_value
            if axes is not None and not axes.size:
                node.outputs[0].replace_all_uses_with(node.inputs[0], replace_graph_outputs=True)
                modified = True
        return ir.passes.PassResult(model, modified)


class CancelTransposesPass(ir.passes.InPlacePass):  # type: ignore[misc]
    """Replace Transpose(Transpose(x)) by x if the two cancel."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for node in model.graph:
            source = _cancelled(node)
            if source is not None:
                node.outputs[0].replace_all_uses_with(source, replace_graph_outputs=True)
                modified = True
        return ir.passes.PassResult(model, modified)


class JoinLayersPass(ir.passes.InPlacePass):  # type: ignore[misc]
    """Connect stacked recurrent operators directly, without transposing the steps twice.

        Y -Transpose-> -Squeeze-> (batch, time, units) -Transpose-> X     becomes     Y -Squeeze-> X

    Only if nothing else reads these values, because otherwise OpenVINO mixes up rows (`native`).
    Run it after equal nodes were merged, so that the number of readers is right.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        found = [(node, given) for node in model.graph if (given := _given_on(node)) is not None]
        for node, given in found:
            layer = given.producer().name  # the layer whose steps they are, for `debug`
            name = f"{layer}/axis1"
            axis = ir.Value(name=name, const_value=ir.tensor(np.array([1], np.int64), name=name))
            model.graph.register_initializer(axis)
            joined = ir.node("Squeeze", [given, axis], name=f"{layer}/joined")
            joined.outputs[0].name = f"{joined.name}:0"
            model.graph.insert_before(node, joined)
            node.outputs[0].replace_all_uses_with(joined.outputs[0])
        return ir.passes.PassResult(model, bool(found))


def name_everything(model: ir.Model, entry: EntryPoint, layers: Collection[str] = ()) -> None:
    """Name inputs and outputs, with shapes, as in `entry`; name others after the Keras layers."""
    graph = model.graph
    wanted = {tensor.name for tensor in (*entry.all_inputs, *entry.all_outputs)}
    _shorten(graph, wanted, layers)
    for value, tensor in zip(graph.inputs, entry.all_inputs, strict=True):
        value.name, value.shape = tensor.name, ir.Shape(tensor.shape)
    for value, tensor in zip(graph.outputs, entry.all_outputs, strict=True):
        value.name, value.shape = tensor.name, ir.Shape(tensor.shape)
        value.type = ir.TensorType(ir.DataType.from_numpy(np.dtype(tensor.dtype)))
    common.ShapeInferencePass()(model)


def _cancelled(node: ir.Node) -> ir.Value | None:
    if node.op_type != "Transpose" or node.inputs[0] is None:
        return None
    before = node.inputs[0].producer()
    if before is None or before.op_type != "Transpose":
        return None
    first, second = _perm(before), _perm(node)
    rank = len(first or second or ())  # without perm, both reverse all axes
    backwards = list(reversed(range(rank)))
    first, second = first or backwards, second or backwards
    if [first[axis] for axis in second] != list(range(rank)):
        return None
    return before.inputs[0]


def _given_on(node: ir.Node) -> ir.Value | None:
    """Return a recurrent operator's output that `node` transposes for the next operator."""
    if not _turns(node, [1, 0, 2]) or node.outputs[0].is_graph_output():
        return None
    squeeze = _read_alone(node)
    turned = None if squeeze is None or squeeze.op_type != "Squeeze" else _read_alone(squeeze)
    operator = None if turned is None or not _turns(turned, [2, 0, 1, 3]) else _read_alone(turned)
    if operator is None or operator.op_type not in RECURRENT or _read_alone(operator) is None:
        return None
    return operator.outputs[0]


def _turns(node: ir.Node, perm: list[int]) -> bool:
    return node.op_type == "Transpose" and _perm(node) == perm


def _perm(node: ir.Node) -> list[int] | None:
    """Return the order of the axes; None if the attribute is absent, which reverses all axes."""
    found = node.attributes.get("perm")
    return None if found is None else list(found.as_ints())


def _read_alone(node: ir.Node) -> ir.Node | None:
    """Return the node of the first input of a node, if nothing else reads that input."""
    value = node.inputs[0]
    if value is None or len(value.uses()) > 1 or value.is_graph_output():
        return None
    return value.producer()


def _shorten(graph: ir.Graph, reserved: set[str], layers: Collection[str]) -> None:
    """Remove the scopes around a layer from names, and keep all names unique."""
    used = {*reserved, *_names_within(graph)}
    for node in graph:
        node.name = _free(_short(node.name or node.op_type, layers), used)
        for value in node.outputs:
            value.name = _free(_short(value.name or node.name, layers), used)
    for value in list(graph.initializers.values()):
        value.name = _free(_short(value.name, layers), used)


def _names_within(graph: ir.Graph) -> Iterator[str]:
    """Yield the names of values inside the loops and branches of a graph, which do not change."""
    for node in graph.all_nodes():
        inner = node.graph
        if inner is not graph and isinstance(inner, ir.Graph):
            values = (*inner.inputs, *inner.initializers.values(), *node.outputs)
            yield from (value.name for value in values if value.name)


def _short(name: str, layers: Collection[str]) -> str:
    """Return a name from its layer on; TensorFlow appends a number to a scope it enters again."""
    parts = name.split("/")
    for index, part in enumerate(parts[:-1]):
        for layer in (part, re.sub(r"_\d+$", "", part)):
            if layer in layers:
                return "/".join((layer, *parts[index + 1 :]))
    return "/".join(parts[1:] if len(parts) > 2 else parts)


def _free(name: str, used: set[str]) -> str:
    candidate, count = name, 0
    while candidate in used:
        count += 1
        candidate = f"{name}_{count}"
    used.add(candidate)
    return candidate
