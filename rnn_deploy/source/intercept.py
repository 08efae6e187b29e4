"""Stand in for the recurrent layers' loops while a Keras model is called.

`keras.layers.RNN.call` is where every stock recurrent layer arrives with its input, initial
state and mask settled. While `intercepting(handler)` is open, the handler is asked instead, once
per call, and its answer put into the form Keras expects. The three uses differ only in the
handler: a marker (tracing for ONNX), our own loop (TFLite), Keras' loop with states given and
taken (the reference).

The patch is one function on one class, restored in `finally`; a lock keeps other exports out.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rnn_deploy.source.per_step import all_steps_at_once
from rnn_deploy.source.tensorflow import keras

_LOCK = threading.RLock()


@dataclass(frozen=True)
class Call:
    """One call of a recurrent layer inside the model.

    name: the layer's, made unique by a suffix when met again. initial_state: a list of tensors
    when the model gives one, else None. mask: (batch, time) or None.
    """

    name: str
    layer: Any
    sequences: Any
    initial_state: list[Any] | None
    mask: Any
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


Handler = Callable[[Call], tuple[Any, list[Any]]]


@contextmanager
def intercepting(handler: Handler) -> Iterator[None]:
    """While open, `handler` answers every RNN.call with (output, final states)."""
    original = keras.layers.RNN.call
    names: set[str] = set()

    def call(
        self: Any,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
    ) -> Any:
        given = None if initial_state is None else list(keras.tree.flatten(initial_state))
        name = unused(self.name, names)
        names.add(name)
        output, states = handler(Call(name, self, sequences, given, mask, original))
        return (output, *states) if self.return_state else output

    with _LOCK, _plain_errors(), all_steps_at_once():
        keras.layers.RNN.call = call
        try:
            yield
        finally:
            keras.layers.RNN.call = original


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
