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
    assert read.roles == ("h",)
    assert (read.masked, read.zero_output_for_mask) == (False, False)


def test_a_gated_layer_is_read_whole():
    options = {"recurrent_activation": "hard_sigmoid", "return_sequences": True}
    gru = layers.GRU(4, reset_after=False, name="gru", **options)
    lstm = layers.LSTM(5, use_bias=False, name="lstm", **options)
    first, second = read_layers(model_of(gru, lstm))
    assert [np.array_equal(a, b) for a, b in zip(
        (first.kernel, first.recurrent_kernel, first.bias), gru.get_weights(), strict=True
    )] == [True] * 3  # fmt: skip
    assert (first.cell, first.recurrent_activation, first.reset_after) == (
        "gru", "hard_sigmoid", False,
    )  # fmt: skip
    assert (second.cell, second.bias, second.roles) == ("lstm", None, ("h", "c"))


def test_a_list_of_cells_is_read_as_a_stack_of_layers():
    cells = [layers.LSTMCell(4), layers.SimpleRNNCell(3)]
    read = read_layers(model_of(layers.RNN(cells, go_backwards=True, name="rnn")))
    assert [layer.name for layer in read] == ["rnn_cell0", "rnn_cell1"]
    assert [layer.go_backwards for layer in read] == [True, False]
    assert [layer.return_sequences for layer in read] == [True, False]
    assert np.array_equal(read[1].kernel, cells[1].get_weights()[0])


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
    "conv": (
        lambda: keras.Sequential([layers.Reshape((-1, 3, 1)), layers.ConvLSTM1D(2, 2, name="l")]),
        "layer 'l': is ConvLSTM1D",
    ),
    "time distributed": (
        lambda: keras.Sequential([
            layers.Reshape((-1, 1, 3)), layers.TimeDistributed(layers.GRU(2), name="l"),
        ]),
        "layer 'l': is TimeDistributed over a recurrent layer",
    ),
    "own cell": (lambda: layers.RNN(OwnCell(), name="l"), "layer 'l': is RNN over OwnCell;"),
    "own layer": (lambda: OwnRnn(3, name="l"), "layer 'l': is OwnRnn;"),
    "own simple cell": (
        lambda: layers.RNN(OwnSimpleCell(3), name="l"), "layer 'l': is RNN over OwnSimpleCell;",
    ),
    "stacked cells": (
        lambda: layers.RNN([layers.SimpleRNNCell(3), OwnCell()], name="l"),
        "layer 'l': is RNN over OwnCell;",
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
    "gates": (
        lambda: layers.GRU(3, recurrent_activation="gelu", name="l"), "has the activation 'gelu'",
    ),
    "bidirectional": (
        lambda: layers.Bidirectional(layers.LSTM(3, activation="gelu", name="l")),
        "layer 'forward_l': has the activation 'gelu'",
    ),
    "float64": (
        lambda: layers.Dense(3, dtype="float64", name="l"), "layer 'l': has float64 weights",
    ),
    "nested": (
        lambda: keras.Sequential([OwnRnn(3, name="deep")]), "layer 'deep': is OwnRnn;",
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
        layers.GRU(3, return_sequences=True, recurrent_activation="gelu", name="a"),
        OwnRnn(3, return_sequences=True, name="b"),
        layers.SimpleRNN(3, return_sequences=True, name="fine"),
        layers.RNN(OwnCell(), return_sequences=True, name="c"),
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


def masked(*stack):
    x = keras.Input((None, 3), name="x")
    y = layers.Masking()(x)
    for layer in stack:
        y = layer(y)
    return keras.Model(x, y, name="mine")


def test_a_mask_is_read_where_a_layer_receives_one():
    options = {"return_sequences": True, "zero_output_for_mask": True}
    model = masked(layers.LSTM(4, **options), layers.GRU(3))
    facts = [(r.masked, r.zero_output_for_mask, r.carries_output) for r in read_layers(model)]
    assert facts == [(True, True, True), (True, False, False)]


def test_a_mask_that_ends_before_a_recurrent_layer_is_none():
    pooled = (layers.GlobalAveragePooling1D(), layers.RepeatVector(4))
    (read,) = read_layers(masked(*pooled, layers.SimpleRNN(4, name="rnn")))
    assert (read.name, read.masked) == ("rnn", False)
