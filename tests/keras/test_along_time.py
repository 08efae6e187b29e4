"""Layers that look along time are found by their kind and settings."""

import keras
import pytest

from rnn_deploy.keras.along_time import looking_along_time

layers = keras.layers


@pytest.mark.parametrize(
    ("layer", "looks"),
    [
        (layers.Conv1D(4, 3, padding="causal"), True),
        (layers.Conv1D(4, 1), False),
        (layers.GRU(4, return_sequences=True), False),
        (layers.GRU(4, go_backwards=True, return_sequences=True), True),
        (layers.Bidirectional(layers.GRU(4, return_sequences=True), name="both"), True),
        (layers.MaxPooling1D(2), True),
        (layers.Dense(4), False),
    ],
)
def test_a_layer_that_looks_along_time_is_named_once(layer, looks):
    x = keras.Input((8, 4))
    found = looking_along_time(keras.Model(x, layers.Dense(2)(layer(x))))
    assert found == ([f"'{layer.name}' ({type(layer).__name__})"] if looks else [])
