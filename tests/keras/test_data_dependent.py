"""Operators that give as many values as the data say are refused, wherever they stand."""

import keras
import pytest
import tensorflow as tf

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras.signature import signature_of
from rnn_deploy.keras.tracing import trace_markers
from tests.support.errors import raises


@pytest.mark.parametrize(
    ("operator", "function"),
    [
        ("Where", lambda t: tf.boolean_mask(t, t[:, 0] > 0)),
        ("Unique", lambda t: tf.unique(tf.reshape(t, [-1]))[0]),
        (
            "DynamicPartition",
            lambda t: tf.dynamic_partition(t[:, 0], tf.cast(t[:, 1] > 0, "int32"), 2)[0],
        ),
        (
            "Where",
            lambda t: tf.cond(t[0, 0] > 0, lambda: tf.boolean_mask(t, t[:, 0] > 0), lambda: t),
        ),
    ],
)
def test_they_are_named_with_their_layer(operator, function):
    x = keras.Input((None, 3), name="x")
    y = keras.layers.Lambda(function, output_shape=(None,), name="picks")(keras.layers.GRU(4)(x))
    model = keras.Model(x, y, name="mine")
    with raises(UnsupportedModelError, "E-MODEL-DATA-DEPENDENT", "'mine'", operator) as raised:
        trace_markers(model, signature_of(model))
    assert "picks" in raised.value.message or "cond" in raised.value.message


def test_a_choice_between_values_is_none():
    x = keras.Input((None, 3), name="x")
    y = keras.layers.Lambda(lambda t: tf.where(t > 0, t, 0.1), name="choice")(
        keras.layers.GRU(4)(x)
    )
    trace_markers(keras.Model(x, y), signature_of(keras.Model(x, y)))
