"""The model's TensorFlow graph with a marker where each recurrent layer's loop was.

A marker is a stateless op that no pass touches, `PyFuncStateless` with the token
"rnn_deploy:<index>": its inputs are the sequence and, where the model gives one, the initial
state; its outputs are the layer's output and its final state. One marker stands for both halves of
a Bidirectional. The weights of recurrent layers never enter the graph. While tracing:

- every layer computes in float32, or in float64 where one of them does;
- products of a sequence with a matrix stay one product (Keras writes them as a reshape, a
  product and a reshape);
- an Embedding is one Gather, which takes negative ids as Keras does;
- inputs are recognised where they reach an Embedding or a Masking, with what these say of them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from tensorflow.python.framework import convert_to_constants

from rnn_deploy.errors import UnsupportedModelError, one_line
from rnn_deploy.source.intercept import (
    Both,
    BothHandler,
    Call,
    Handler,
    computing_in,
    intercepting,
)
from rnn_deploy.source.reading import precision_of, read
from rnn_deploy.source.signature import Signature, call_flat
from rnn_deploy.source.tensorflow import keras, tf
from rnn_deploy.spec import Called, Dim, Pair, Recurrence, TensorSpec, layers_of

MARKER = "rnn_deploy"
# Sizes no model has by itself, by which a symbol is known again in an output's shape.
_PROBES = (1009, 2003, 3001, 4001, 5003, 6007, 7001, 8009, 9001)


@dataclass(frozen=True)
class InputFacts:
    """What an input's values mean: ids below a vocabulary's size, a value that masks a step."""

    below: int | None = None
    padding: float | None = None


@dataclass(frozen=True)
class Trace:
    """A traced model.

    graph: a frozen ConcreteFunction, inputs and outputs in the signature's order.
    calls: the recurrent calls, in order; a marker's token ends in its index here.
    facts: what was noted of inputs on their way: vocabulary and padding.
    """

    signature: Signature
    graph: Any
    calls: tuple[Called, ...]
    facts: Mapping[str, InputFacts]

    @property
    def layers(self) -> tuple[Recurrence, ...]:
        """Every recurrent layer, those of a list of cells one by one."""
        return tuple(layer for called in self.calls for layer in layers_of(called))

    @property
    def output_shapes(self) -> list[list[int | None]]:
        return [tensor.shape.as_list() for tensor in self.graph.outputs]


def trace_markers(model: Any, signature: Signature) -> Trace:
    """Trace `model` with markers in place of its recurrent loops."""
    facts: dict[str, InputFacts] = {}
    calls: list[Called] = []
    with _noting(facts):
        traced = _traced_markers(model, signature, calls)
    # TensorFlow changes names it cannot hold, so inputs are told by their place.
    of_inputs = zip(signature.inputs, traced.inputs, strict=False)
    facts = {t.name: facts[v.op.name] for t, v in of_inputs if v.op.name in facts}
    graph = convert_to_constants.convert_variables_to_constants_v2(traced)
    return Trace(signature, graph, tuple(calls), facts)


def with_facts(signature: Signature, trace: Trace) -> Signature:
    """The signature with the vocabularies and paddings that the trace met."""
    facts = ((t, trace.facts.get(t.name, InputFacts())) for t in signature.inputs)
    inputs = tuple(replace(t, below=f.below, padding=f.padding) for t, f in facts)
    return replace(signature, inputs=inputs)


def output_specs(model: Any, trace: Trace) -> tuple[TensorSpec, ...]:
    """The outputs with their dimensions named.

    The model is traced once more with a telling size for each symbol; an output dimension of
    that size is that symbol, one derived otherwise gets a symbol of its own.
    """
    sizes = dict(zip(trace.signature.symbols, _PROBES, strict=False))
    shapes = _probe(model, trace.signature, sizes) or trace.output_shapes
    symbols = {size: symbol for symbol, size in sizes.items()}
    named = []
    for name, tensor, probed in zip(
        trace.signature.output_names, trace.graph.outputs, shapes, strict=True
    ):
        dims = tuple(
            open_dim if open_dim is not None else symbols.get(size or -1, f"{name}_axis{axis}")
            for axis, (open_dim, size) in enumerate(zip(tensor.shape, probed, strict=True))
        )
        named.append(TensorSpec(name, dims, tensor.dtype.name))
    return tuple(named)


def lengths_are_tied(model: Any, signature: Signature) -> bool:
    """Whether inputs with a time axis each must be equally long: the model refuses others."""
    sizes = dict(zip(signature.symbols, _PROBES, strict=False))
    return _probe(model, signature, sizes) is None


@dataclass(frozen=True)
class FrozenGraph:
    """A GraphDef without variables, and its inputs and outputs as symbolic tensors."""

    graph: Any
    inputs: list[Any]
    outputs: list[Any]


def frozen(
    model: Any, handler: Handler, function: Callable[..., Any], specs: list[tf.TensorSpec]
) -> FrozenGraph:
    """Trace `function` of `specs`, which calls `model`, and turn its variables into constants.

    Loops stay loops. No function is made of the graph again, which takes longer than the rest.
    """
    traced = _traced(model, handler, function, specs)
    data = convert_to_constants._FunctionConverterDataInEager(
        traced, lower_control_flow=False, aggressive_inlining=False
    )
    graph, _ = convert_to_constants._replace_variables_by_constants(data)
    return FrozenGraph(graph, traced.inputs[: len(specs)], traced.outputs)


def tensorflow_spec(tensor: TensorSpec) -> tf.TensorSpec:
    """The tf.TensorSpec of a TensorSpec, symbols left open."""
    shape = [dim if isinstance(dim, int) else None for dim in tensor.shape]
    return tf.TensorSpec(shape, tensor.dtype, name=tensor.name)


def _traced_markers(model: Any, signature: Signature, calls: list[Called]) -> Any:
    def mark(call: Call) -> tuple[Any, list[Any]]:
        stack = read(call)
        calls.append(stack)
        outputs, finals = _marker(len(calls) - 1, stack, call, [call], [stack[-1].output_shape])
        return outputs[0], finals

    def mark_both(both: Both) -> tuple[list[Any], list[Any]]:
        halves = (both.forward, both.backward)
        forward, backward = (read(call) for call in halves)
        pair = Pair(both.layer.name, forward, backward, both.layer.merge_mode)
        calls.append(pair)
        return _marker(len(calls) - 1, pair, both.forward, halves, _merged_shapes(pair))

    specs = [tensorflow_spec(tensor) for tensor in signature.inputs]
    function = lambda *tensors: call_flat(model, tensors)  # noqa: E731
    return _traced(model, mark, function, specs, mark_both)


def _marker(
    index: int,
    called: Called,
    over: Call,
    calls: Sequence[Call],
    shapes: Sequence[tuple[int, ...]],
) -> tuple[list[Any], list[Any]]:
    """The marker of `calls`, over the sequence and the mask of one: outputs, final states."""
    layers = layers_of(called)
    dtype = tf.as_dtype(layers[0].dtype)
    batch, time = over.sequences.shape[0], over.sequences.shape[1]
    states = [state for call in calls for state in call.initial_state or ()]
    inputs = [tf.cast(tensor, dtype) for tensor in (over.sequences, *states)]
    if over.mask is not None:  # its length is that of the sequence
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


def _merged_shapes(pair: Pair) -> list[tuple[int, ...]]:
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
    with _tracing(model, handler, both):
        try:
            return traced.get_concrete_function(*specs)
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise UnsupportedModelError(
                f"model '{model.name}': cannot be traced with inputs"
                f" {', '.join(f'{s.name} {s.shape}' for s in specs)}: {one_line(error)}"
            ) from error


@contextmanager
def _tracing(model: Any, handler: Handler, both: BothHandler | None) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(computing_in(model, precision_of(model)))
        stack.enter_context(intercepting(handler, both))
        stack.enter_context(_replaced(tf, "tensordot", _tensordot_as_matmul(tf.tensordot)))
        yield


def _probe(
    model: Any, signature: Signature, sizes: Mapping[str, int]
) -> list[list[int | None]] | None:
    def sized(dim: Dim) -> Dim:
        return sizes[dim] if isinstance(dim, str) and dim in sizes else dim

    inputs = (replace(t, shape=tuple(map(sized, t.shape))) for t in signature.inputs)
    try:
        traced = _traced_markers(model, replace(signature, inputs=tuple(inputs)), [])
    except UnsupportedModelError:
        return None
    # Not frozen: TensorFlow would fold constants of the probing sizes, gigabytes of them.
    return [tensor.shape.as_list() for tensor in traced.outputs]


def _tensordot_as_matmul(original: Callable[..., Any]) -> Callable[..., Any]:
    def tensordot(a: Any, b: Any, axes: Any, name: str | None = None) -> Any:
        if axes == [[-1], [0]] and b.shape.rank == 2:
            return tf.matmul(a, b, name=name)
        return original(a, b, axes, name)

    return tensordot


@contextmanager
def _noting(found: dict[str, InputFacts]) -> Iterator[None]:
    mask = keras.layers.Masking.call

    def embedding(self: Any, inputs: Any) -> Any:
        name = _input_behind(inputs)
        if name is not None:
            known = found.get(name, InputFacts())
            below = min(int(self.input_dim), known.below or self.input_dim)
            found[name] = InputFacts(below, 0.0 if self.mask_zero else known.padding)
        ids = inputs if inputs.dtype in (tf.int32, tf.int64) else tf.cast(inputs, tf.int32)
        table = tf.convert_to_tensor(self.embeddings)
        return tf.cast(tf.gather(table, ids), self.compute_dtype)

    def masking(self: Any, inputs: Any) -> Any:
        name = _input_behind(inputs)
        if name is not None:
            known = found.get(name, InputFacts())
            found[name] = replace(known, padding=float(self.mask_value))
        return mask(self, inputs)

    with (
        _replaced(keras.layers.Embedding, "call", embedding),
        _replaced(keras.layers.Masking, "call", masking),
    ):
        yield


def _input_behind(tensor: Any) -> str | None:
    """The name of the model's input that `tensor` is, None if it is none."""
    source = tensor.op
    while source.type in ("Cast", "Identity"):
        source = source.inputs[0].op
    return str(source.name) if source.type == "Placeholder" else None


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
