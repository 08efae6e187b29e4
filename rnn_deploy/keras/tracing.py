"""Trace a model as a TensorFlow graph, with a marker in place of each recurrent layer's loop.

A marker is a stateless operation that no pass changes, `PyFuncStateless` with the token
"rnn_deploy:<index>". Its inputs are the sequence, and the initial state if the model computes one;
its outputs are the layer's output and final state. Both halves of a Bidirectional have one marker.
The weights of recurrent layers never enter the graph. While tracing, every layer computes in
float32 (in float64 if one of them does), and some operations are rewritten (`rewrites`).
"""

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rnn_deploy.errors import UnsupportedModelError, one_line
from rnn_deploy.keras import access, compat
from rnn_deploy.keras.data_dependent import refuse_data_dependent
from rnn_deploy.keras.intercept import (
    BidirectionalCall,
    BothHandler,
    Handler,
    LayerCall,
    intercepting,
)
from rnn_deploy.keras.precision import computing_in
from rnn_deploy.keras.pure import refuse_impure
from rnn_deploy.keras.reading import precision_of, read
from rnn_deploy.keras.rewrites import InputFacts, fitting_tflite, noting, rewriting
from rnn_deploy.keras.seams import check_seams
from rnn_deploy.keras.signature import Signature, call_flat
from rnn_deploy.keras.tensorflow import tf
from rnn_deploy.spec import (
    BidirectionalLayers,
    Called,
    Recurrence,
    TensorSpec,
    layers_of,
)

MARKER = "rnn_deploy"


@dataclass(frozen=True)
class Trace:
    """A traced model.

    graph: a frozen ConcreteFunction, inputs and outputs in the signature's order.
    calls: the recurrent calls that an output depends on, in order; a marker's token ends in its
    key. unused: the layers of the other calls. facts: vocabulary and padding by input.
    """

    signature: Signature
    graph: Any
    calls: Mapping[int, Called]
    unused: tuple[str, ...]
    facts: Mapping[str, InputFacts]

    @property
    def layers(self) -> tuple[Recurrence, ...]:
        """Return every recurrent layer; a list of cells has one layer for each."""
        return tuple(layer for called in self.calls.values() for layer in layers_of(called))

    @property
    def orders_nan(self) -> bool:
        """Return whether NaN is compared with numbers: the result depends on the processor."""
        return any(op.type in ("MaxPool", "MaxPool3D") for op in self.graph.graph.get_operations())

    @property
    def output_shapes(self) -> list[list[int | None]]:
        return [tensor.shape.as_list() for tensor in self.graph.outputs]


def trace_markers(model: Any, signature: Signature) -> Trace:
    """Trace `model` with markers in place of its recurrent loops."""
    check_seams()
    facts: dict[str, InputFacts] = {}
    calls: list[Called] = []
    with noting(facts):
        traced = traced_markers(model, signature, calls)
    # TensorFlow changes names that it does not allow, so inputs are matched by position.
    of_inputs = zip(signature.inputs, traced.inputs, strict=False)
    facts = {t.name: facts[v.op.name] for t, v in of_inputs if v.op.name in facts}
    _refuse_outputs(model, signature, traced.outputs)
    refuse_impure(f"model '{model.name}'", traced)
    graph = compat.convert_variables_to_constants(traced)
    for output, before in zip(graph.outputs, traced.outputs, strict=True):
        output.set_shape(before.shape)  # freezing loses the shapes of a loop's outputs
    refuse_data_dependent(model, graph)
    used = _markers_behind(graph)
    unused = (called for index, called in enumerate(calls) if index not in used)
    return Trace(
        signature,
        graph,
        {index: called for index, called in enumerate(calls) if index in used},
        tuple(layer.name for called in unused for layer in layers_of(called)),
        facts,
    )


def with_facts(signature: Signature, trace: Trace) -> Signature:
    """Return the signature with the vocabularies and paddings that the trace found."""
    facts = ((t, trace.facts.get(t.name, InputFacts())) for t in signature.inputs)
    inputs = tuple(replace(t, below=f.below, padding=f.padding) for t, f in facts)
    return replace(signature, inputs=inputs)


@dataclass(frozen=True)
class FrozenGraph:
    """A GraphDef without variables, and its inputs and outputs as symbolic tensors."""

    graph: Any
    inputs: list[Any]
    outputs: list[Any]


def frozen(
    model: Any, handler: Handler, function: Callable[..., Any], specs: list[tf.TensorSpec]
) -> FrozenGraph:
    """Trace `function`, which calls `model`; variables become constants, and loops stay loops."""
    with fitting_tflite():
        traced = _traced(model, handler, function, specs)
    data = compat.FunctionConverterData(traced, lower_control_flow=False, aggressive_inlining=False)
    graph, _ = compat.replace_variables_by_constants(data)
    return FrozenGraph(graph, traced.inputs[: len(specs)], traced.outputs)


def tensorflow_spec(tensor: TensorSpec) -> tf.TensorSpec:
    """Return the tf.TensorSpec of a TensorSpec; symbols become open dimensions."""
    shape = [dim if isinstance(dim, int) else None for dim in tensor.shape]
    return tf.TensorSpec(shape, tensor.dtype, name=tensor.name)


def _refuse_outputs(model: Any, signature: Signature, outputs: Sequence[Any]) -> None:
    """Raise UnsupportedModelError for undeclared outputs and for outputs of unknown rank."""
    names = signature.output_names
    if len(outputs) != len(names):
        raise UnsupportedModelError(
            "E-MODEL-OUTPUT-COUNT",
            f"model '{model.name}': its call returns {len(outputs)} outputs, but its graph of"
            f" layers has {len(names)} ({', '.join(names)}); return these, or subclass"
            " keras.Model without that graph",
        )
    for name, tensor in zip(names, outputs, strict=True):
        if tensor.shape.rank is None:
            raise UnsupportedModelError(
                "E-MODEL-OUTPUT-RANK",
                f"model '{model.name}': the number of axes of output '{name}' is unknown before it"
                " runs; set its shape with keras.ops.reshape or tf.ensure_shape",
            )


def traced_markers(
    model: Any,
    signature: Signature,
    calls: list[Called],
    rows: dict[int, int | None] | None = None,
) -> Any:
    """Trace with markers. calls, rows: filled with the calls, and the number of rows of each."""
    rows = {} if rows is None else rows

    def mark(call: LayerCall) -> tuple[Any, list[Any]]:
        stack = read(call)
        rows[len(calls)] = call.sequences.shape[0]
        calls.append(stack)
        outputs, finals = _marker(len(calls) - 1, stack, call, [call], [stack[-1].output_shape])
        return outputs[0], finals

    def mark_both(both: BidirectionalCall) -> tuple[list[Any], list[Any]]:
        halves = (both.forward, both.backward)
        forward, backward = (read(call) for call in halves)
        pair = BidirectionalLayers(both.layer.name, forward, backward, both.layer.merge_mode)
        rows[len(calls)] = both.forward.sequences.shape[0]
        calls.append(pair)
        return _marker(len(calls) - 1, pair, both.forward, halves, _merged_shapes(pair))

    specs = [tensorflow_spec(tensor) for tensor in signature.inputs]
    return _traced(model, mark, lambda *tensors: call_flat(model, tensors), specs, mark_both)


def _marker(
    index: int,
    called: Called,
    over: LayerCall,
    calls: Sequence[LayerCall],
    shapes: Sequence[tuple[int, ...]],
) -> tuple[list[Any], list[Any]]:
    """Write the marker of `calls`, with the sequence and the mask of `over` as inputs."""
    layers = layers_of(called)
    _refuse_inner(over)
    dtype = tf.as_dtype(layers[0].dtype)
    batch, time = over.sequences.shape[0], over.sequences.shape[1]
    states = [state for call in calls for state in call.initial_state or ()]
    inputs = [tf.cast(tensor, dtype) for tensor in (over.sequences, *states)]
    if over.mask is not None:  # the mask has the length of the sequence
        over.sequences.shape[:2].assert_is_compatible_with(over.mask.shape)
        inputs.append(tf.cast(over.mask, tf.bool))
    steps = [time] if layers[-1].return_sequences else []
    wanted = [
        *([batch, *steps, *shape] for shape in shapes),
        *([batch, *shape] for layer in layers for shape in layer.state_shapes),
    ]
    tensors = tf.raw_ops.PyFuncStateless(
        input=inputs, token=f"{MARKER}:{index}", Tout=[dtype] * len(wanted)
    )
    shaped = [tf.ensure_shape(t, shape) for t, shape in zip(tensors, wanted, strict=True)]
    return shaped[: len(shapes)], shaped[len(shapes) :]


def _refuse_inner(call: LayerCall) -> None:
    """Raise UnsupportedModelError for a call in a condition or loop: its states are hidden."""
    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        if isinstance(graph, compat.ControlFlowFuncGraph):
            raise UnsupportedModelError(
                "E-MODEL-INNER-LAYER",
                f"layer '{call.name}': a recurrent layer inside a condition or loop cannot be"
                " exported; call it outside, and choose between its outputs with keras.ops.where",
            )
        graph = getattr(graph, "outer_graph", None)


def _markers_behind(graph: Any) -> set[int]:
    """Return the indices of the markers behind an output; in conditions and loops, of all."""
    seen: set[str] = set()
    waiting = [tensor.op for tensor in graph.outputs]
    tokens = [
        node.attr["token"].s
        for function in graph.graph.as_graph_def().library.function
        for node in function.node_def
        if node.op == "PyFuncStateless"
    ]
    while waiting:
        op = waiting.pop()
        if op.name in seen:
            continue
        seen.add(op.name)
        waiting += [*(tensor.op for tensor in op.inputs), *op.control_inputs]
        if op.type == "PyFuncStateless":
            tokens.append(op.get_attr("token"))
    return {int(token.decode().removeprefix(f"{MARKER}:")) for token in tokens}


def _merged_shapes(pair: BidirectionalLayers) -> list[tuple[int, ...]]:
    forward, backward = pair.forward[-1].output_shape, pair.backward[-1].output_shape
    if pair.merge is None:
        return [forward, backward]
    if pair.merge == "concat":
        return [(*forward[:-1], forward[-1] + backward[-1])]
    return [forward]


def _traced(
    model: Any,
    handler: Handler,
    function: Callable[..., Any],
    specs: list[tf.TensorSpec],
    both: BothHandler | None = None,
) -> Any:
    traced = tf.function(function, autograph=False)
    with computing_in(model, precision_of(model)), intercepting(handler, both), rewriting():
        try:
            return traced.get_concrete_function(*specs)
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise UnsupportedModelError(
                "E-MODEL-TRACE",
                f"model '{model.name}': {layer_behind(error, model)}cannot be traced with inputs"
                f" {', '.join(f'{s.name} {s.shape}' for s in specs)}: {one_line(error)}; call it"
                " with such inputs to see the whole error",
            ) from error


def layer_behind(error: Exception, model: Any) -> str:
    """Return the innermost layer that raised an error, as the start of a sentence."""
    layers = {id(layer): layer.name for layer in access.layers_in(model, include_self=False)}
    frames = (frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__))
    found = [layers[id(owner)] for owner in frames if id(owner) in layers]
    return f"layer '{found[-1]}' " if found else ""
