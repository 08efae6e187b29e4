"""Convert the traced graph to ONNX with tf2onnx, then replace the markers by lowerings.

    Trace --tf2onnx--> ONNX with markers --lower_markers--> ONNX --cleanup--> bytes

The conversion is done once per trace; each entry point is assembled from a clone of it. In the
stream entry point a layer's state is a graph input and a graph output. They are added here, not in
TensorFlow, so that both entry points share everything else.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedOpsetsPass

from rnn_deploy.bundle.manifest import LoweringChoice
from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras.own_loops import collects_in_loop, layer_at, own_loop
from rnn_deploy.keras.tracing import MARKER, Trace
from rnn_deploy.onnx import tf2onnx_graph as onnx_graph
from rnn_deploy.onnx.calls import lower_call
from rnn_deploy.onnx.cleanup import clean, name_everything
from rnn_deploy.onnx.float64 import write_for_double
from rnn_deploy.onnx.format import OPSET
from rnn_deploy.onnx.metadata import ModelMetadata, in_opset, write_label
from rnn_deploy.spec import Called, EntryPoint, StateKey, TensorSpec, layers_of

KNOWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")


def convert(trace: Trace) -> ir.Model:
    """Return the traced graph as ONNX, with its markers."""
    graph = trace.graph
    model = onnx_graph.convert(graph)
    order_inputs(model, [tensor.name for tensor in graph.inputs])
    return model


def assemble(
    converted: ir.Model,
    calls: Mapping[int, Called],
    choices: Sequence[LoweringChoice],
    entry: EntryPoint,
    label: ModelMetadata,
) -> ir.Model:
    """Return the model of one entry point: lowered, with its states, cleaned, named and checked."""
    model = converted.clone()
    given = {state.key: _value(state.tensor) for state in entry.states}
    finals = _lower_markers(model.graph, calls, choices, given)
    if any(layer.dtype == np.float64 for called in calls.values() for layer in layers_of(called)):
        write_for_double(model)
    for state in entry.states:
        model.graph.inputs.append(given[state.key])
        model.graph.outputs.append(finals[state.key])
    clean(model)
    name_everything(model, entry, label.layers)
    RemoveUnusedOpsetsPass()(model)
    refuse_unknown_operators(model, label.layers)
    model = in_opset(model, label.opset)
    write_label(model, label, entry, choices)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    return model


def order_inputs(model: ir.Model, names: Sequence[str]) -> None:
    """Put the graph inputs in the order of `names`; tf2onnx drops those without a reader."""
    there = {value.name: value for value in model.graph.inputs}
    missing = [name for name in names if name not in there]
    if missing:
        raise UnsupportedModelError(
            "E-MODEL-UNUSED-INPUT",
            f"input {', '.join(missing)} has no influence on the model's outputs;"
            " rebuild the model without it",
        )
    model.graph.inputs.clear()
    model.graph.inputs.extend(there[name] for name in names)


def refuse_unknown_operators(model: ir.Model, layers: Collection[str] = ()) -> None:
    """Raise UnsupportedModelError for unknown operators, which tf2onnx only logs.

    layers: the model's, which their scopes name.
    """
    nodes = model.graph.all_nodes()
    unknown = [n for n in nodes if n.domain not in KNOWN_DOMAINS or not _has_schema(n)]
    loops = [node for node in unknown if collects_in_loop(node.op_type)]
    if loops:
        raise own_loop(
            next(filter(None, (layer_at(str(n.name), layers) for n in loops)), None), "ONNX"
        )
    if unknown:
        operators = ", ".join(f"{node.op_type} (at {node.name})" for node in unknown)
        raise UnsupportedModelError(
            "E-MODEL-OPERATOR",
            f"ONNX has no operator for {operators}; replace the layer that uses it",
        )


def _has_schema(node: ir.Node) -> bool:
    return bool(onnx.defs.has(node.op_type, max_inclusive_version=OPSET, domain=node.domain))


def _lower_markers(
    graph: ir.Graph,
    calls: Mapping[int, Called],
    choices: Sequence[LoweringChoice],
    given: Mapping[StateKey, ir.Value],
) -> dict[StateKey, ir.Value]:
    """Replace the markers by lowerings; return the final states."""
    lowerings = {choice.layer: choice.lowering for choice in choices}
    finals: dict[StateKey, ir.Value] = {}
    prefixes: set[str] = set()  # so that the second call of a layer has another prefix
    for node in [node for node in graph.all_nodes() if node.op_type == "PyFuncStateless"]:
        called = calls[int(_token(node).removeprefix(f"{MARKER}:"))]
        lowered = lower_call(called, lowerings, list(node.inputs), given, prefixes)
        for ops in lowered.written:
            graph.insert_before(node, ops.nodes)
            for value in ops.initializers:
                graph.register_initializer(value)
        after = [*lowered.outputs, *lowered.finals.values()]
        for old, new in zip(node.outputs, after, strict=True):
            old.replace_all_uses_with(new, replace_graph_outputs=True)
        graph.remove(node, safe=True)
        finals |= lowered.finals
    return finals


def _token(node: ir.Node) -> str:
    return str(node.attributes["token"].as_string())


def _value(tensor: TensorSpec) -> ir.Value:
    return ir.Value(
        name=tensor.name,
        type=ir.TensorType(ir.DataType.from_numpy(np.dtype(tensor.dtype))),
        shape=ir.Shape(tensor.shape),
    )
