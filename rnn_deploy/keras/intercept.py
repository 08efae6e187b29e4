"""Stand in for the recurrent layers' loops while a Keras model is called.

`keras.layers.RNN.call` is where every stock recurrent layer arrives with its input, initial
state and mask settled. While `intercepting(handler)` is open, the handler is asked instead, once
per call, and its answer put into the form Keras expects. The three uses differ only in the
handler: a marker (tracing for ONNX), our own loop (TFLite), Keras' loop with states given and
taken (the reference). A second handler may answer for both halves of a Bidirectional at once.

The patches are restored in `finally`; a lock keeps other exports out. A layer with a loop of its
own is left alone: it runs as it is written, its states unseen.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from tensorflow.python.autograph.core import ag_ctx
from tensorflow.python.autograph.impl import api

from rnn_deploy.keras.per_step import all_steps_at_once, within_step
from rnn_deploy.keras.tensorflow import keras, tf

_LOCK = threading.RLock()
_KEEPING: ContextVar[bool] = ContextVar("calls start from the states held", default=False)


@dataclass(frozen=True)
class LayerCall:
    """One call of a recurrent layer inside the model.

    name: the layer's, made unique by a suffix when met again. initial_state: a list of tensors
    when the model gives one, else None. mask: (batch, time) or None. within_step: it is called
    for the steps of a TimeDistributed, all of them side by side in the batch.
    """

    name: str
    layer: Any
    sequences: Any
    initial_state: list[Any] | None
    mask: Any
    within_step: bool
    _original: Callable[..., Any]

    def proceed(self, initial_state: list[Any] | None) -> tuple[Any, list[Any]]:
        """Run Keras' own loop from `initial_state`: its output, and its final states.

        A stateful layer's own variables are neither read nor written. Steps are not written out
        even where the layer says so: the sums are the same, and the length may be open.
        """
        nested = None if initial_state is None else self._by_cell(initial_state)
        with _set(self.layer, return_state=True, stateful=False, unroll=False):
            output, *states = self._original(
                self.layer, self.sequences, initial_state=nested, mask=self.mask
            )
        return output, list(keras.tree.flatten(states))

    def _by_cell(self, states: list[Any]) -> list[Any]:
        """Flat states as Keras wants them: a list for each cell where there is a list of cells."""
        cells = getattr(self.layer.cell, "cells", None)
        if cells is None:
            return states
        remaining = iter(states)
        counts = (len(keras.tree.flatten(cell.state_size)) for cell in cells)
        return [[next(remaining) for _ in range(count)] for count in counts]


@dataclass(frozen=True)
class BidirectionalCall:
    """One call of a Bidirectional layer, its halves called alike."""

    layer: Any
    forward: LayerCall
    backward: LayerCall


Handler = Callable[[LayerCall], tuple[Any, list[Any]]]
BothHandler = Callable[[BidirectionalCall], tuple[list[Any], list[Any]]]


def holds_state(layer: Any) -> bool:
    """Whether a recurrent layer is stateful and has run, so that it holds a state."""
    return bool(getattr(layer, "stateful", False)) and getattr(layer, "states", None) is not None


@contextmanager
def keeping_states(keep: bool) -> Iterator[None]:
    """While open, and if `keep`, a stateful layer's calls start from the state that it holds."""
    token = _KEEPING.set(keep)
    try:
        yield
    finally:
        _KEEPING.reset(token)


def runs_its_own_loop(layer: Any) -> bool:
    """Whether a recurrent layer of the user's own replaces Keras' loop by something else."""
    return type(layer).inner_loop not in _LOOPS


@contextmanager
def intercepting(handler: Handler, both: BothHandler | None = None) -> Iterator[None]:
    """While open, `handler` answers every RNN.call with (output, final states).

    both: answers every Bidirectional.call with (outputs, final states), outputs merged or, with
    no merge mode, two.
    """
    original = keras.layers.RNN.call
    names: set[str] = set()

    def call_of(layer: Any, sequences: Any, initial_state: Any, mask: Any) -> LayerCall:
        given = None if initial_state is None else list(keras.tree.flatten(initial_state))
        if given is None and holds_state(layer) and _KEEPING.get():
            given = [tf.convert_to_tensor(state) for state in keras.tree.flatten(layer.states)]
        if given is None and _starts_elsewhere(layer):
            batch = keras.ops.shape(sequences)[0]
            given = list(keras.tree.flatten(layer.get_initial_state(batch_size=batch)))
        name = unused(layer.name, names)
        names.add(name)
        return LayerCall(name, layer, sequences, given, mask, within_step(), original)

    def call(
        self: Any,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
    ) -> Any:
        if runs_its_own_loop(self):
            return original(self, sequences, initial_state, mask, training)
        output, states = handler(call_of(self, sequences, initial_state, mask))
        return (output, *states) if self.return_state else output

    def call_both(
        self: Any,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        halves = (self.forward_layer, self.backward_layer)
        if both is None or not all(type(half).call in _CALLS for half in halves):
            return original_both(self, sequences, initial_state, mask, training)
        states: list[Any] = [None, None]
        if initial_state is not None:
            given = list(keras.tree.flatten(initial_state))
            states = [given[: len(given) // 2], given[len(given) // 2 :]]
        calls = (call_of(h, sequences, s, mask) for h, s in zip(halves, states, strict=True))
        outputs, finals = both(BidirectionalCall(self, *calls))
        if self.return_state:
            return (*outputs, *finals)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    original_both = keras.layers.Bidirectional.call
    with _LOCK, _plain_errors(), all_steps_at_once(), _functions_in_place(), _full_precision():
        keras.layers.RNN.call, keras.layers.Bidirectional.call = call, call_both
        try:
            yield
        finally:
            keras.layers.RNN.call = original
            keras.layers.Bidirectional.call = original_both


@contextmanager
def computing_in(model: Any, dtype: str) -> Iterator[None]:
    """While open, every layer of `model` computes in `dtype`, its weights read as that dtype.

    Weights are converted as they are read and never touched, so the float64 form of a float32
    model has exactly the same weights.
    """
    policy = keras.DTypePolicy(dtype)
    layers = list(model._flatten_layers())
    before = [layer._dtype_policy for layer in layers]
    try:
        for layer in layers:
            layer._dtype_policy = policy
        with keras.src.backend.AutocastScope(dtype):
            yield
    finally:
        for layer, old in zip(layers, before, strict=True):
            layer._dtype_policy = old


@contextmanager
def _functions_in_place() -> Iterator[None]:
    """While open, what is decorated with tf.function is traced where it is called.

    It would bring a graph of its own, from a cache: with Keras' loops in it, or with states that
    nothing outside may use.
    """
    kind = type(tf.function(lambda: None))
    original = kind.__call__

    def call(self: Any, *args: Any, **options: Any) -> Any:
        if not self._autograph:
            return self.python_function(*args, **options)
        with ag_ctx.ControlStatusCtx(ag_ctx.Status.ENABLED) as anew:
            return api.tf_convert(self.python_function, anew)(*args, **options)

    kind.__call__ = call
    try:
        yield
    finally:
        kind.__call__ = original


@contextmanager
def _full_precision() -> Iterator[None]:
    """While open, a model within the model takes what it is given in the precision it comes in.

    It would round to the dtype that its inputs were declared with: a float64 oracle to float32,
    and the mask of what is rounded is lost on some layers.
    """
    functional = keras.src.models.functional.Functional
    original = functional._convert_inputs_to_tensors

    def convert(self: Any, given: Sequence[Any]) -> list[Any]:
        pairs = zip(given, original(self, given), strict=True)
        return [before if _floats(before) and _floats(after) else after for before, after in pairs]

    functional._convert_inputs_to_tensors = convert
    try:
        yield
    finally:
        functional._convert_inputs_to_tensors = original


def _floats(value: Any) -> bool:
    return bool(tf.is_tensor(value)) and value.dtype.is_floating


@contextmanager
def _plain_errors() -> Iterator[None]:
    """While open, Keras adds no coloured lines about arguments to errors, ours among them."""
    if not keras.config.is_traceback_filtering_enabled():
        yield
        return
    keras.config.disable_traceback_filtering()
    try:
        yield
    finally:
        keras.config.enable_traceback_filtering()


def _starts_elsewhere(layer: Any) -> bool:
    """Whether the layer, or a cell of it, makes an initial state of its own (Keras' are zero)."""
    cells = getattr(layer.cell, "cells", [layer.cell])
    makers = [type(layer).get_initial_state, *(_maker(type(cell)) for cell in cells)]
    return any(maker not in _STARTS for maker in makers)


def _maker(cell: type) -> Any:
    return getattr(cell, "get_initial_state", None)


_OWN = (keras.layers.SimpleRNN, keras.layers.GRU, keras.layers.LSTM)
_CONV = (keras.layers.ConvLSTM1D, keras.layers.ConvLSTM2D, keras.layers.ConvLSTM3D)
_CONV_CELL = keras.src.layers.rnn.conv_lstm.ConvLSTMCell
_CELLS = (keras.layers.SimpleRNNCell, keras.layers.GRUCell, keras.layers.LSTMCell, _CONV_CELL)
# What Keras itself does; taken before anything is patched.
_CALLS = [keras.layers.RNN.call, *(layer.call for layer in (*_OWN, *_CONV))]
_LOOPS = [layer.inner_loop for layer in (keras.layers.RNN, *_OWN, *_CONV)]
_STARTS = [keras.layers.RNN.get_initial_state, None, *map(_maker, _CELLS)]


def unused(name: str, used: set[str]) -> str:
    """`name`, or with the first suffix _2, _3, ... that makes it new."""
    candidate, count = name, 1
    while candidate in used:
        count += 1
        candidate = f"{name}_{count}"
    return candidate


@contextmanager
def _set(layer: Any, **attributes: bool) -> Iterator[None]:
    before = {name: getattr(layer, name) for name in attributes}
    try:
        for name, value in attributes.items():
            object.__setattr__(layer, name, value)
        yield
    finally:
        for name, value in before.items():
            object.__setattr__(layer, name, value)
