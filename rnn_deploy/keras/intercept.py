"""Answer the calls of recurrent layers' loops while a Keras model is called.

Every recurrent layer of Keras calls `keras.layers.RNN.call` with its input, initial state and mask.
While `intercepting(handler)` is open, the handler answers in its place, once per call. The three
uses differ only in the handler: a marker (tracing for ONNX), our own loop (TFLite), Keras' loop
with states as inputs and outputs (the reference). A second handler may answer for both halves of a
Bidirectional at once. A Keras layer that computes its output in any other way is an error.

At the end everything is restored; a lock excludes other exports. A user's layer with its own loop
is not intercepted: it runs as it is written, and its states are not visible.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from rnn_deploy.keras import compat
from rnn_deploy.keras.keras2.intercept import intercepting_keras2
from rnn_deploy.keras.keras2.package import is_keras2
from rnn_deploy.keras.originals import CALLS, runs_its_own_loop, starts_elsewhere
from rnn_deploy.keras.per_step import all_steps_at_once, within_step
from rnn_deploy.keras.precision import full_precision
from rnn_deploy.keras.tensorflow import keras, tf
from rnn_deploy.keras.training import mode_of_recurrent

_LOCK = threading.RLock()
_KEEPING: ContextVar[bool] = ContextVar("calls start from the states held", default=False)


@dataclass(frozen=True)
class LayerCall:
    """One call of a recurrent layer inside the model.

    name: the layer's name, made unique by a suffix for further calls. initial_state: a list of
    tensors if the model computes one, else None. mask: (batch, time) or None. within_step: it is
    called for the steps of a TimeDistributed, all of them side by side in the batch. training: the
    model calls it in training mode.
    """

    name: str
    layer: Any
    sequences: Any
    initial_state: list[Any] | None
    mask: Any
    within_step: bool
    _original: Callable[..., Any]
    training: bool = False

    def proceed(self, initial_state: list[Any] | None) -> tuple[Any, list[Any]]:
        """Run Keras' own loop from `initial_state`; return its output and final states.

        It neither reads nor writes the variables of a stateful layer. It does not unroll, even if
        the layer asks for it: the sums are the same, and the length may be open.
        """
        nested = None if initial_state is None else self._by_cell(initial_state)
        with _set(self.layer, return_state=True, stateful=False, unroll=False):
            output, *states = self._original(
                self.layer,
                self.sequences,
                initial_state=nested,
                mask=self.mask,
                training=self.training,
            )
        return output, list(keras.tree.flatten(states))

    def _by_cell(self, states: list[Any]) -> list[Any]:
        """Return flat states in Keras' structure: a list for each cell of a list of cells."""
        cells = getattr(self.layer.cell, "cells", None)
        if cells is None:
            return states
        remaining = iter(states)
        counts = (len(keras.tree.flatten(cell.state_size)) for cell in cells)
        return [[next(remaining) for _ in range(count)] for count in counts]


@dataclass(frozen=True)
class BidirectionalCall:
    """One call of a Bidirectional layer; both halves are called in the same way."""

    layer: Any
    forward: LayerCall
    backward: LayerCall


Handler = Callable[[LayerCall], tuple[Any, list[Any]]]
BothHandler = Callable[[BidirectionalCall], tuple[list[Any], list[Any]]]


def holds_state(layer: Any) -> bool:
    """Return whether a recurrent layer is stateful and has run, so that it holds a state."""
    states = keras.tree.flatten(getattr(layer, "states", None))
    return bool(getattr(layer, "stateful", False)) and all(state is not None for state in states)


@contextmanager
def keeping_states(keep: bool) -> Iterator[None]:
    """While open, and if `keep`, calls of a stateful layer start from its current state."""
    token = _KEEPING.set(keep)
    try:
        yield
    finally:
        _KEEPING.reset(token)


@contextmanager
def intercepting(handler: Handler, both: BothHandler | None = None) -> Iterator[None]:
    """While open, `handler` answers every RNN.call with (output, final states).

    both: answers every Bidirectional.call with (outputs, final states); the outputs are merged, or
    two if there is no merge mode.

    Raises RuntimeUnavailableError if Keras calls a recurrent layer in a way that is not answered.
    """
    rnn, bidirectional = keras.layers.RNN, keras.layers.Bidirectional
    here = _Interception(handler, both)

    def call(
        self: Any,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
    ) -> Any:
        return here.call(self, sequences, initial_state, mask, training)

    def call_both(
        self: Any,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        return here.call_both(self, sequences, initial_state, mask, training)

    def call_layer(self: Any, *args: Any, **options: Any) -> Any:
        with here.refusing_bypass(self):
            return keras.layers.Layer.__call__(self, *args, **options)

    with (
        _LOCK,
        _plain_errors(),
        all_steps_at_once(),
        compat.functions_in_place(),
        full_precision(),
        compat.replaced(rnn, "call", call),
        compat.replaced(rnn, "__call__", call_layer),
        compat.replaced(bidirectional, "call", call_both),
        intercepting_keras2(here),
    ):
        yield


class _Interception:
    """Answers calls of recurrent layers, and counts the calls of each layer."""

    def __init__(self, handler: Handler, both: BothHandler | None) -> None:
        self._handler, self._both = handler, both
        self._original, self._original_both = keras.layers.RNN.call, keras.layers.Bidirectional.call
        self._names: set[str] = set()
        self._arrived: Counter[int] = Counter()

    def call(self, layer: Any, sequences: Any, initial_state: Any, mask: Any, training: Any) -> Any:
        """Answer for `layer`, in the form of its own call."""
        self._arrived[id(layer)] += 1
        if runs_its_own_loop(layer):
            return self._original(layer, sequences, initial_state, mask, training)
        output, states = self.answer(
            layer, sequences, initial_state, mask, self._original, training
        )
        return (output, *states) if layer.return_state else output

    def answer(
        self,
        layer: Any,
        sequences: Any,
        initial_state: Any,
        mask: Any,
        loop: Callable[..., Any],
        training: Any = False,
    ) -> tuple[Any, list[Any]]:
        """Return the handler's output and final states. loop: Keras' own loop."""
        return self._handler(self._call_of(layer, sequences, initial_state, mask, loop, training))

    def call_both(
        self, layer: Any, sequences: Any, initial_state: Any, mask: Any, training: Any
    ) -> Any:
        """Answer for the Bidirectional `layer`, in the form of its own call."""
        halves = (layer.forward_layer, layer.backward_layer)
        answer = None
        if all(type(half).call in CALLS for half in halves):
            answer = self.answer_both(
                layer, sequences, initial_state, mask, self._original, training
            )
        if answer is None:
            with self.refusing_bypass(*halves):
                return self._original_both(layer, sequences, initial_state, mask, training)
        outputs, finals = answer
        if layer.return_state:
            return (*outputs, *finals)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def answer_both(
        self,
        layer: Any,
        sequences: Any,
        initial_state: Any,
        mask: Any,
        loop: Callable[..., Any],
        training: Any = False,
    ) -> tuple[list[Any], list[Any]] | None:
        """Return the second handler's outputs and final states; None if there is no handler."""
        if self._both is None:
            return None
        states: list[Any] = [None, None]
        if initial_state is not None:
            given = list(keras.tree.flatten(initial_state))
            states = [given[: len(given) // 2], given[len(given) // 2 :]]
        pairs = zip((layer.forward_layer, layer.backward_layer), states, strict=True)
        calls = (
            self._call_of(half, sequences, state, mask, loop, training) for half, state in pairs
        )
        return self._both(BidirectionalCall(layer, *calls))

    def _call_of(
        self,
        layer: Any,
        sequences: Any,
        initial_state: Any,
        mask: Any,
        loop: Callable[..., Any],
        training: Any,
    ) -> LayerCall:
        given = None if initial_state is None else list(keras.tree.flatten(initial_state))
        if given is None and holds_state(layer) and _KEEPING.get():
            given = [tf.convert_to_tensor(state) for state in keras.tree.flatten(layer.states)]
        if given is None and starts_elsewhere(layer):
            own = (
                layer.get_initial_state(sequences)
                if is_keras2(layer)
                else layer.get_initial_state(batch_size=keras.ops.shape(sequences)[0])
            )
            given = list(keras.tree.flatten(own))
        name = unused(layer.name, self._names)
        self._names.add(name)
        cells = getattr(layer.cell, "cells", [layer.cell])
        mode = mode_of_recurrent(layer, cells, training)
        return LayerCall(name, layer, sequences, given, mask, within_step(), loop, mode)

    @contextmanager
    def refusing_bypass(self, *layers: Any) -> Iterator[None]:
        """Raise an error if one of `layers` has Keras' own code and was never answered."""
        before = [self._arrived[id(layer)] for layer in layers]
        yield
        for layer, count in zip(layers, before, strict=True):
            kind = type(layer)
            own = getattr(kind, "call", None) in (keras.layers.RNN.call, *CALLS)
            if own and self._arrived[id(layer)] == count:
                raise compat.newer_than_checked(
                    "keras",
                    f"layer '{layer.name}' ({kind.__name__}) computed its output without"
                    " keras.layers.RNN.call, which rnn_deploy replaces to read the layer",
                )


@contextmanager
def _plain_errors() -> Iterator[None]:
    """While open, Keras adds no coloured lines about arguments to errors, including ours."""
    if not keras.config.is_traceback_filtering_enabled():
        yield
        return
    keras.config.disable_traceback_filtering()
    try:
        yield
    finally:
        keras.config.enable_traceback_filtering()


def unused(name: str, used: set[str]) -> str:
    """Return `name`, or `name` with the first unused suffix _2, _3, ..."""
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
