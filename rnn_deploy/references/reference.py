"""The original model's outputs and recurrent states: the reference (float32), the oracle (float64).

Keras' own loops compute everything. This module adds that each recurrent call starts from a given
state and returns its final state. A layer whose initial state the model itself computes keeps that
state.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from rnn_deploy.errors import InputError, UnsupportedModelError, one_line
from rnn_deploy.keras import access
from rnn_deploy.keras.intercept import LayerCall, intercepting, unused
from rnn_deploy.keras.keras2.package import is_keras2
from rnn_deploy.keras.keras2.precision import in_precision
from rnn_deploy.keras.part import ModelPart
from rnn_deploy.keras.pooling import flat_pooling
from rnn_deploy.keras.precision import computing_in
from rnn_deploy.keras.reading import keys_of, read, read_known
from rnn_deploy.keras.signature import call_flat
from rnn_deploy.keras.tensorflow import tf
from rnn_deploy.keras.tracing import layer_behind, tensorflow_spec
from rnn_deploy.numerics.cells import LayerRun
from rnn_deploy.references.probing import Tensors, layer_run, seen_of
from rnn_deploy.spec import (
    Array,
    EntryPoint,
    Recurrence,
    RecurrentLayer,
    StateKey,
    StateSpec,
    TensorSpec,
)

# Called for every recurrent call: with the call, its initial states or None for zero, its output,
# and its final states.
Watch = Callable[[LayerCall, list[Any] | None, Any, list[Any]], None]
FLOAT_OF = {"float32": tf.float32, "float64": tf.float64}


class Reference:
    """The original model under TensorFlow in one precision, with states as inputs and outputs.

    It is a runner of an entry point: `run(feeds)` takes inputs and initial states by name (missing
    states are zero) and returns outputs and final states by name. The final states have the
    precision of the reference.
    """

    def __init__(
        self,
        model: Any,
        entry: EntryPoint,
        dtype: str = "float32",
    ) -> None:
        self.entry = entry
        self.dtype = dtype
        self.model = _computing_in(model, dtype)
        self._layers: list[tuple[RecurrentLayer, ...]] = []  # of the calls that are seen
        self._function = tf.function(self._seen, autograph=False, input_signature=self._specs())

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return outputs and final states for the inputs and initial states in `feeds`."""
        results, _ = self.results(self._function, feeds)
        names = (tensor.name for tensor in self.entry.all_outputs)
        values = {name: value.numpy() for name, value in zip(names, results, strict=True)}
        # On some processors, pooling of fewer steps than its window is an error; on others it
        # returns an empty tensor. An empty output is no evidence, so both are an error here.
        empty = [name for name, value in values.items() if not value.size]
        if empty and all(value.size for value in feeds.values()):
            shapes = ", ".join(f"'{name}' {value.shape}" for name, value in feeds.items())
            raise InputError(
                "E-INPUT-REJECTED",
                f"the model returns no values in '{empty[0]}' for inputs of the shapes {shapes};"
                " give longer sequences",
            )
        return values

    def layer_runs(self, feeds: Mapping[str, Array]) -> list[LayerRun]:
        """Return inputs, outputs and states of every recurrent call with Keras' own cells."""
        _, seen = self.results(self._function, feeds)
        return [layer_run(layers, t) for layers, t in zip(self._layers, seen, strict=True)]

    def results(self, function: Any, feeds: Mapping[str, Array]) -> Any:
        """Run a traced function of the entry point's inputs and states on `feeds`."""
        batch = next(iter(feeds.values())).shape[0]
        tensors = [tf.constant(feeds[tensor.name]) for tensor in self.entry.inputs]
        for state in self.entry.states:
            given = feeds.get(state.tensor.name)
            zero = tf.zeros([batch, *state.tensor.shape[1:]], FLOAT_OF[self.dtype])
            tensors.append(zero if given is None else tf.constant(given, FLOAT_OF[self.dtype]))
        try:
            return function(*tensors)
        except (tf.errors.OpError, ValueError, TypeError) as error:
            where = layer_behind(error, self.model)
            if self.dtype == "float64" and _lacks_float64(error):
                raise UnsupportedModelError(
                    "E-MODEL-NO-FLOAT64",
                    f"model '{self.model.name}': {where or _layer_of_node(error, self.model)}has an"
                    " operation that TensorFlow cannot compute in float64, and every export is"
                    " checked in float64; write it with other operations"
                    f" ({one_line(error)})",
                ) from error
            if self.dtype == "float64" and _mixes_precisions(error, where):
                raise UnsupportedModelError(
                    "E-MODEL-FLOAT32-ONLY",
                    f"model '{self.model.name}': {where}cannot be computed in float64, and every"
                    " export is checked in float64; cast to self.compute_dtype in place of float32"
                    f" ({one_line(error)})",
                ) from error
            raise tensorflow_refused(error) from error

    def close(self) -> None:
        """Release nothing: the model belongs to its owner."""

    def traced(self, call: Callable[..., Any]) -> Any:
        """Return a function of the entry point's inputs and states, traced."""
        function = tf.function(call, autograph=False, input_signature=self._specs())
        return function.get_concrete_function()

    def call(self, *tensors: Any, watch: Watch | None = None) -> list[Any]:
        """Return outputs and final states as tensors, for inputs and initial states in order."""
        states, count = self.entry.states, len(self.entry.inputs)
        inputs, initial = tensors[:count], tensors[count:]
        given = dict(zip((state.key for state in states), initial, strict=True))
        finals: dict[StateKey, Any] = {}

        def observe(call: LayerCall) -> tuple[Any, list[Any]]:
            keys = keys_of(call)
            free = [given[key] for key in keys if key in given]
            before = call.initial_state or free or None
            output, after = call.proceed(before)
            if free and call.mask is not None:
                output = _continued(call, output, free)
            finals.update(zip(keys, after, strict=True))
            if watch is not None:
                watch(call, before, output, after)
            return output, after

        # TensorFlow has no 3-D pooling in float64.
        pooling = flat_pooling() if self.dtype == "float64" else nullcontext()
        with computing_in(self.model, self.dtype), intercepting(observe), pooling:
            outputs = call_flat(self.model, inputs)
        return [*outputs, *(finals[state.key] for state in states)]

    def _seen(self, *tensors: Any) -> tuple[list[Any], list[Tensors]]:
        """Return outputs and final states, and the tensors of the recurrent calls."""
        graph = tf.compat.v1.get_default_graph()
        layers: list[tuple[RecurrentLayer, ...]] = []
        seen: list[Tensors] = []

        def watch(call: LayerCall, before: list[Any] | None, output: Any, after: list[Any]) -> None:
            known = read_known(call)
            if known is not None and output.graph is graph:  # not inside a condition or a loop
                layers.append(known)
                seen.append(seen_of(call, before, output, after))

        results = self.call(*tensors, watch=watch)
        self._layers = layers
        return results, seen

    def _specs(self) -> list[tf.TensorSpec]:
        states = (tensorflow_spec(state.tensor) for state in self.entry.states)
        return [
            *(tensorflow_spec(tensor) for tensor in self.entry.inputs),
            *(tf.TensorSpec(s.shape, FLOAT_OF[self.dtype], name=s.name) for s in states),
        ]


def _computing_in(model: Any, dtype: str) -> Any:
    """Return a model or a part of one; of Keras 2, built anew in this precision."""
    whole = model.model if isinstance(model, ModelPart) else model
    if not is_keras2(whole):
        return model
    built = in_precision(whole, dtype)
    return model.of(built) if isinstance(model, ModelPart) else built


def _mixes_precisions(error: Exception, where: str) -> bool:
    """Return whether a layer, or an operation in it, got both float32 and float64."""
    message = str(error)
    in_layer = bool(where) and "float32" in message and "float64" in message
    either = "elements double but list elements float", "that does not match type float"
    return in_layer or any(words in message for words in either)


def _lacks_float64(error: Exception) -> bool:
    """Return whether TensorFlow has no float64 kernel for an operation."""
    message = str(error)
    if "No OpKernel was registered" in message:
        return "T=DT_DOUBLE" in message
    return "has DataType float64 not in list of allowed values" in message


def _layer_of_node(error: Exception, model: Any) -> str:
    """Return the layer whose scope contains the node that an error names, as a sentence's start.

    TensorFlow appends a number to the name of a scope that it enters again.
    """
    node = re.search(r"{{node ([^}]*)}}", str(error))
    scopes = node[1].split("/") if node else []
    names = {layer.name for layer in access.layers_in(model, include_self=False)}
    found = [n for s in reversed(scopes) for n in (s, re.sub(r"_\d+$", "", s)) if n in names]
    return f"layer '{found[0]}' " if found else ""


def tensorflow_refused(error: Exception) -> InputError:
    """Return the error for inputs that the original model itself rejects."""
    return InputError(
        "E-INPUT-REJECTED",
        f"TensorFlow cannot run the model on these inputs: {one_line(error)}; give inputs that the"
        " original model accepts",
    )


def states_of(
    layers: Sequence[Recurrence], batch: int | str, taken: Iterable[str]
) -> tuple[StateSpec, ...]:
    """Return the states of the stream entry point: those of every layer without an initial state.

    taken: the names of the model's own inputs and outputs, which they keep.
    """
    used = set(taken)
    states = []
    for layer in filter(lambda layer: layer.free, layers):
        for role, shape in zip(layer.roles, layer.state_shapes, strict=True):
            names = (f"{layer.name}_{role}_in", f"{layer.name}_{role}_out")
            enters, leaves = (unused(name, used) for name in names)
            used |= {enters, leaves}
            tensor = TensorSpec(enters, (batch, *shape), layer.dtype.name)
            states.append(StateSpec(tensor, leaves, layer.name, role))
    return tuple(states)


def _continued(call: LayerCall, output: Any, states: list[Any]) -> Any:
    """Return the output of a stream: steps before the first that counts repeat the last output.

    Keras starts there with zero, because it does not know the previous output. In a stream that is
    the state h of the last cell, if the output equals that state.
    """
    layer, last = call.layer, read(call)[-1]
    if layer.zero_output_for_mask or not last.output_is_state:
        return output
    before = states[-len(last.roles)]
    mask = tf.cast(call.mask, tf.int32)
    if not layer.return_sequences:
        return tf.where(_over(tf.reduce_any(call.mask, axis=1), output), output, before)
    in_order = tf.reverse(mask, [1]) if layer.go_backwards else mask
    seen = tf.cumsum(in_order, axis=1) > 0
    return tf.where(_over(seen, output), output, before[:, None])


def _over(mask: Any, values: Any) -> Any:
    """Return a mask of the first axes of `values`, with axes of length one for the others."""
    for _ in range(values.shape.rank - mask.shape.rank):
        mask = mask[..., None]
    return mask
