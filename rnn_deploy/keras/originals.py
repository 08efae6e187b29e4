"""Keras' own methods of recurrent layers, saved before they are replaced."""

from typing import Any

from rnn_deploy.keras import compat
from rnn_deploy.keras.keras2.intercept import starts_elsewhere as keras2_starts_elsewhere
from rnn_deploy.keras.keras2.package import is_keras2
from rnn_deploy.keras.tensorflow import keras


def runs_its_own_loop(layer: Any) -> bool:
    """Return whether a user's recurrent layer has its own loop in place of Keras'."""
    return not is_keras2(layer) and type(layer).inner_loop not in _LOOPS


def starts_elsewhere(layer: Any) -> bool:
    """Return whether the layer, or one of its cells, creates an initial state other than zero."""
    if is_keras2(layer):
        return keras2_starts_elsewhere(layer)
    cells = getattr(layer.cell, "cells", [layer.cell])
    makers = [type(layer).get_initial_state, *(_maker(type(cell)) for cell in cells)]
    return any(maker not in _STARTS for maker in makers)


def _maker(cell: type) -> Any:
    return getattr(cell, "get_initial_state", None)


_OWN = (keras.layers.SimpleRNN, keras.layers.GRU, keras.layers.LSTM)
_CONV = (keras.layers.ConvLSTM1D, keras.layers.ConvLSTM2D, keras.layers.ConvLSTM3D)
_CELLS = (
    keras.layers.SimpleRNNCell,
    keras.layers.GRUCell,
    keras.layers.LSTMCell,
    compat.ConvLSTMCell,
)
# Saved before anything is replaced.
CALLS = [keras.layers.RNN.call, *(layer.call for layer in (*_OWN, *_CONV))]
_LOOPS = [layer.inner_loop for layer in (keras.layers.RNN, *_OWN, *_CONV)]
_STARTS = [keras.layers.RNN.get_initial_state, None, *map(_maker, _CELLS)]
