"""Rewritten operations give what Keras' own give; inputs are recognised behind what moves them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnn_deploy.source.rewrites import InputFacts, rewriting
from rnn_deploy.source.signature import signature_of
from rnn_deploy.source.tracing import trace_markers

layers = keras.layers


def test_the_sign_of_zero_is_kept():
    values = np.array([0.0, -0.0, 1.5, -2.0, np.inf, -np.inf, 1e-45, -1e-45], np.float32)
    expected = np.signbit(values)
    with rewriting():
        found = keras.ops.signbit(tf.constant(values))
        assert keras.ops.argmax(tf.constant([-0.0, 0.0, -1.0])) == 1
    assert np.array_equal(found, expected)
    with rewriting():
        assert np.array_equal(keras.ops.signbit(tf.constant([3, -3, 0])), [False, True, False])


@pytest.mark.parametrize(
    ("moved", "padding"),
    [
        (lambda ids: ids, 0.0),
        (lambda ids: ids[:, 1:], None),
        (lambda ids: keras.ops.flip(ids, 1), None),
        (lambda ids: keras.ops.transpose(ids), None),
    ],
)
def test_token_ids_are_known_behind_what_moves_them(moved, padding):
    ids = keras.Input((None,), dtype="int32", name="ids")
    y = layers.Embedding(9, 3, mask_zero=True)(moved(ids))
    model = keras.Model(ids, layers.Dense(2)(y))
    facts = trace_markers(model, signature_of(model)).facts
    assert facts == {"ids": InputFacts(9, padding)}


def test_ids_that_are_computed_are_not():
    ids = keras.Input((None,), dtype="int32", name="ids")
    model = keras.Model(ids, layers.Embedding(9, 3)(ids + 1))
    assert trace_markers(model, signature_of(model)).facts == {}
