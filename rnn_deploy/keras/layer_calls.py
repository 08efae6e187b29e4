"""Watch the calls of all layers while a model is called, and change their inputs and results.

A call is identified by its place: the names of the layers around it, its layer's name, and the
number of earlier calls there. Every trace of a model makes the same calls in the same order.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rnn_deploy.keras import compat
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
    """While open, `watcher` sees every call of a layer of Keras 3."""
    original, start = keras.layers.Layer.__call__, keras.layers.RNN.call
    path: list[str] = []
    places: list[CallPlace] = []
    counts: Counter[tuple[str, ...]] = Counter()

    def call(self: Any, *args: Any, **options: Any) -> Any:
        path.append(self.name)
        names = tuple(path)
        places.append(CallPlace(names, counts[names]))
        counts[names] += 1
        try:
            place = places[-1]
            watcher.before(place, self)
            return watcher.after(place, self, original(self, *args, **options))
        finally:
            path.pop()
            places.pop()

    def recurrent(
        self: Any,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
    ) -> Any:
        if initial_state is not None:
            initial_state = watcher.starting(places[-1], initial_state)
        return start(self, sequences, initial_state, mask, training)

    with (
        compat.replaced(keras.layers.Layer, "__call__", call),
        compat.replaced(keras.layers.RNN, "call", recurrent),
    ):
        yield


def mask_of(tensor: Any) -> Any | None:
    """Return the mask that Keras stores with a tensor, None if there is none."""
    return compat.get_keras_mask(tensor)


def set_mask(tensor: Any, mask: Any) -> None:
    """Set the mask that Keras stores with a tensor."""
    compat.set_keras_mask(tensor, mask)
