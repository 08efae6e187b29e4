"""A Keras layer as a RecurrentLayer, or why not: every reason at once."""

import keras
import numpy as np
import pytest

from rnn_deploy.cells import ACTIVATIONS
from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.exporting.plan import ExportOptions, plan_of
from rnn_deploy.source.reading import activation_name, refusals_of, refuse
from tests.conftest import randomised

layers = keras.layers


def read_layers(model):
    """The layers of a model as they are read."""
    return plan_of(model, ExportOptions()).sequence.trace.layers


def model_of(*stack, time=None):
    x = y = keras.Input((time, 3), name="x")
    for layer in stack:
        y = layer(y)
    return randomised(keras.Model(x, y, name="mine"))


def test_a_layer_is_read_whole():
    layer = layers.SimpleRNN(
        4, activation="relu", go_backwards=True, return_sequences=True, name="rnn"
    )
    (read,) = read_layers(model_of(layer, time=6))
    kernel, recurrent, bias = layer.get_weights()
    assert np.array_equal(read.kernel, kernel)
    assert np.array_equal(read.recurrent_kernel, recurrent)
    assert np.array_equal(read.bias, bias)
    facts = (read.name, read.cell, read.units, read.width, read.activation)
    assert facts == ("rnn", "simple_rnn", 4, 3, "relu")
    assert (read.go_backwards, read.return_sequences, read.steps) == (True, True, 6)
    assert read.initial_state is False
    assert read.state_names == ("rnn_h_in", "rnn_h_out")


def test_a_cell_in_rnn_is_read_like_the_layer():
    cell = layers.SimpleRNNCell(4, use_bias=False, activation="sigmoid")
    (read,) = read_layers(model_of(layers.RNN(cell, name="rnn")))
    assert (read.bias, read.activation, read.return_sequences) == (None, "sigmoid", False)
    assert read.steps is None
    assert np.array_equal(read.kernel, cell.get_weights()[0])


def test_what_was_read_does_not_change_with_the_model():
    layer = layers.SimpleRNN(4, name="rnn")
    model = model_of(layer)
    (read,) = read_layers(model)
    before = read.kernel.copy()
    randomised(model, seed=9)
    assert np.array_equal(read.kernel, before)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_known_activation_is_named(name):
    assert activation_name(keras.activations.get(name)) == name
    assert activation_name(layers.SimpleRNNCell(2, activation=name).activation) == name


def test_no_activation_is_linear_and_others_have_no_name():
    assert activation_name(None) == "linear"
    assert activation_name(keras.activations.gelu) is None
    assert activation_name(np.tanh) is None
    assert activation_name(layers.LeakyReLU()) is None


class OwnCell(layers.Layer):
    state_size = output_size = 3

    def call(self, x, states):
        return x + states[0], [x + states[0]]


class OwnRnn(layers.SimpleRNN):
    """A subclass may compute anything, so it is not taken for its parent."""


class OwnSimpleCell(layers.SimpleRNNCell):
    pass


REFUSED = {
    "gru": (lambda: layers.GRU(3, name="l"), "layer 'l': is GRU;"),
    "lstm": (lambda: layers.LSTM(3, name="l"), "layer 'l': is LSTM;"),
    "conv": (
        lambda: keras.Sequential([layers.Reshape((-1, 3, 1)), layers.ConvLSTM1D(2, 2, name="l")]),
        "layer 'l': is ConvLSTM1D",
    ),
    "time distributed": (
        lambda: layers.TimeDistributed(layers.Dense(2), name="l"), "layer 'l': is TimeDistributed",
    ),
    "own cell": (lambda: layers.RNN(OwnCell(), name="l"), "layer 'l': is RNN over OwnCell;"),
    "own layer": (lambda: OwnRnn(3, name="l"), "layer 'l': is OwnRnn;"),
    "own simple cell": (
        lambda: layers.RNN(OwnSimpleCell(3), name="l"), "layer 'l': is RNN over OwnSimpleCell;",
    ),
    "stacked cells": (
        lambda: layers.RNN([layers.SimpleRNNCell(2), layers.SimpleRNNCell(3)], name="l"),
        "layer 'l': is RNN over StackedRNNCells;",
    ),
    "own activation": (
        lambda: layers.SimpleRNN(3, activation=keras.ops.sin, name="l"),
        "layer 'l': has the activation 'sin'; known are tanh",
    ),
    "unknown activation": (
        lambda: layers.SimpleRNN(3, activation="gelu", name="l"), "has the activation 'gelu'",
    ),
    "activation as a layer": (
        lambda: layers.SimpleRNN(3, activation=layers.LeakyReLU(), name="l"),
        "has the activation 'LeakyReLU'",
    ),
    "bidirectional gru": (
        lambda: layers.Bidirectional(layers.GRU(3, name="l")), "layer 'forward_l': is GRU;",
    ),
    "float64": (
        lambda: layers.Dense(3, dtype="float64", name="l"), "layer 'l': has float64 weights",
    ),
    "nested": (
        lambda: keras.Sequential([layers.LSTM(3, name="deep")]), "layer 'deep': is LSTM;",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_exported_exactly_is_refused(what):
    build, message = REFUSED[what]
    with pytest.raises(UnsupportedModelError, match="'mine' cannot be exported exactly") as raised:
        read_layers(model_of(build()))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 4


def test_every_reason_is_given_at_once():
    model = model_of(
        layers.TimeDistributed(layers.Dense(3), name="a"),
        layers.GRU(3, return_sequences=True, name="b"),
        layers.SimpleRNN(3, return_sequences=True, name="fine"),
        layers.LSTM(3, return_sequences=True, name="c"),
        layers.SimpleRNN(3, activation="gelu", name="d"),
        layers.Dense(3, dtype="float64", name="e"),
    )
    assert [refusal.layer for refusal in refusals_of(model)] == ["a", "b", "c", "d", "e"]
    with pytest.raises(UnsupportedModelError, match="exactly") as raised:
        refuse(model, refusals_of(model))
    parts = str(raised.value).split(" | ")
    assert len(parts) == 5
    assert all("; " in part for part in parts)


def test_a_model_of_known_layers_has_no_reason_against_it():
    model = model_of(layers.SimpleRNN(3, return_sequences=True), layers.Dense(2))
    assert refusals_of(model) == []
    refuse(model, [])


def masked(*extra):
    x = keras.Input((None, 3), name="x")
    y = layers.Masking()(x)
    for layer in extra or (layers.SimpleRNN(4, name="a"),):
        y = layer(y)
    return keras.Model(x, y, name="mine")


def masked_tokens():
    ids = keras.Input((None,), dtype="int32", name="ids")
    y = layers.Embedding(7, 3, mask_zero=True)(ids)
    return keras.Model(ids, layers.SimpleRNN(4, name="a")(y), name="mine")


def mask_given():
    x, mask = keras.Input((None, 3), name="x"), keras.Input((None,), dtype="bool", name="m")
    return keras.Model([x, mask], layers.SimpleRNN(4, name="a")(x, mask=mask), name="mine")


@pytest.mark.parametrize("build", [masked, masked_tokens, mask_given])
def test_a_mask_is_refused_and_named_in_one_line(build):
    with pytest.raises(UnsupportedModelError, match="layer 'a': receives a mask") as raised:
        read_layers(build())
    assert "\n" not in str(raised.value)
    assert "\x1b" not in str(raised.value)


def test_a_mask_no_recurrent_layer_receives_is_no_reason():
    pooled = (layers.GlobalAveragePooling1D(), layers.RepeatVector(4))
    (read,) = read_layers(masked(*pooled, layers.SimpleRNN(4, name="rnn")))
    assert read.name == "rnn"


@pytest.mark.xfail(
    strict=True, reason="masks are met while tracing, one at a time, after every other reason"
)
def test_masks_are_given_together_with_the_other_reasons():
    model = masked(layers.SimpleRNN(4, return_sequences=True, name="a"), layers.GRU(4, name="b"))
    with pytest.raises(UnsupportedModelError, match=r"'a': receives a mask.*'b': is GRU"):
        read_layers(model)
