"""Watch the calls of all layers while a model is called, and change their inputs and results.

A call is identified by its place: the names of the layers around it, its layer's name, and the
number of earlier calls there. Every trace of a model makes the same calls in the same order.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from rnn_deploy.keras import compat
from rnn_deploy.keras.keras2.intercept import watched_calls
from rnn_deploy.keras.keras2.package import loaded
from rnn_deploy.keras.tensorflow import keras


@dataclass(frozen=True)
class CallPlace:
    """The place of one call of a layer. path: the names from the model to the layer."""

    path: tuple[str, ...]
    count: int

    @property
    def layer(self) -> str:
        """Return the layer's name."""
        return self.path[-1]


class CallWatcher:
    """Sees every call of a layer. A subclass changes initial states or results."""

    def before(self, place: CallPlace, layer: Any) -> None:
        """Handle the start of a call."""

    def starting(self, place: CallPlace, initial_state: Any) -> Any:
        """Return the initial state from which a recurrent layer starts.

        `initial_state` is the state with which it was called. Whether there is one decides how
        Keras passes masks on.
        """
        return initial_state

    def after(self, place: CallPlace, layer: Any, result: Any) -> Any:
        """Return the result of the call."""
        return result


@contextmanager
def watching_calls(watcher: CallWatcher) -> Iterator[None]:
    """While open, `watcher` sees every call of a layer, of Keras 3 and of Keras 2."""
    calls = _Calls(watcher)
    start = keras.layers.RNN.call

    def recurrent(
        self: Any,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
    ) -> Any:
        return start(self, sequences, calls.starting(initial_state), mask, training)

    with ExitStack() as stack:
        stack.enter_context(compat.replaced(keras.layers.RNN, "call", recurrent))
        for kind in _layer_classes():
            stack.enter_context(compat.replaced(kind, "__call__", calls.through(kind.__call__)))
        stack.enter_context(watched_calls(calls.starting))
        yield


def _layer_classes() -> list[Any]:
    keras2 = loaded()
    return [keras.layers.Layer, *([] if keras2 is None else [keras2.layers.Layer])]


class _Calls:
    """The calls of layers that are open, the outermost first, and how often each was made."""

    def __init__(self, watcher: CallWatcher) -> None:
        self._watcher = watcher
        self._path: list[str] = []
        self._places: list[CallPlace] = []
        self._counts: Counter[tuple[str, ...]] = Counter()

    def through(self, original: Any) -> Any:
        """Return `Layer.__call__` with the watcher around it."""

        def call(layer: Any, *args: Any, **options: Any) -> Any:
            self._path.append(layer.name)
            names = tuple(self._path)
            place = CallPlace(names, self._counts[names])
            self._places.append(place)
            self._counts[names] += 1
            try:
                self._watcher.before(place, layer)
                return self._watcher.after(place, layer, original(layer, *args, **options))
            finally:
                self._path.pop()
                self._places.pop()

        return call

    def starting(self, initial_state: Any) -> Any:
        """Return the initial state of the recurrent call that is open; None for zeros."""
        if initial_state is None:
            return None
        return self._watcher.starting(self._places[-1], initial_state)


def mask_of(tensor: Any) -> Any | None:
    """Return the mask that Keras stores with a tensor, or None."""
    return compat.get_keras_mask(tensor)


def set_mask(tensor: Any, mask: Any) -> None:
    """Set the mask that Keras stores with a tensor."""
    compat.set_keras_mask(tensor, mask)
