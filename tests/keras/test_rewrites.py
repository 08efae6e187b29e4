"""Rewritten operations give what Keras' own give; inputs are recognised behind what moves them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras.rewrites import InputFacts, noting, rewriting
from rnn_deploy.keras.signature import signature_of
from rnn_deploy.keras.tracing import trace_markers
from tests.support.errors import raises

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


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "float16"])
def test_values_fall_into_the_bins_of_keras_own(dtype):
    values = np.array([[-3, -1, 0, 0.1, 1, 2.5], [9, 2, -0.0, 0.7, -1.5, 1]]).astype(dtype)
    if dtype != "int32":
        values[1, :3] = np.nan, np.inf, -np.inf
    bins = [-1.0, 0.1, 1.0, 2.5]
    expected = keras.ops.digitize(values, bins)
    with noting({}):
        found = keras.ops.digitize(values, bins)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("axis", [-1, 0])
def test_an_id_outside_is_no_class_and_no_runtime_counts_it_from_the_end(axis):
    ids = np.array([[0, 3, -1], [2, -4, 4]], np.int32)
    expected = keras.ops.one_hot(ids, 4, axis=axis)
    assert np.array_equal(np.sum(expected), 3)
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        original = tf.one_hot
        patch.setattr(tf, "one_hot", lambda x, *a, **k: seen.append(x) or original(x, *a, **k))
        with noting({}):
            found = keras.ops.one_hot(ids, 4, axis=axis)
    assert np.array_equal(found, expected)
    assert np.min(seen[0]) == 0  # what ONNX's OneHot is given


@pytest.mark.parametrize("order", [1, 2])
def test_unit_vectors_are_keras_own_also_of_nothing(order):
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    x[1], x[2] = 0.0, 1e-20
    expected = keras.ops.normalize(x, order=order, epsilon=1e-12)
    with rewriting():
        found = keras.ops.normalize(x, order=order, epsilon=1e-12)
        lengths = keras.ops.normalize(x, order=order, epsilon=10.0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(lengths, keras.ops.normalize(x, order=order, epsilon=10.0), 1e-6)
    assert not np.allclose(lengths, found)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_who_sees_whom_in_attention_is_keras_own(causal, masked):
    rng = np.random.default_rng(1)
    query, key = (rng.standard_normal((2, n, 2, 3)).astype(np.float32) for n in (4, 5))
    mask = rng.random((2, 1, 4, 5)) < 0.7 if masked else None
    given = {"mask": mask, "is_causal": causal}
    expected = keras.ops.dot_product_attention(query, key, key, **given)
    with rewriting():
        found = keras.ops.dot_product_attention(query, key, key, **given)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


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


def test_an_encoding_of_an_open_number_of_steps_is_refused():
    ids = keras.Input((None,), dtype="int32", name="ids")
    encoded = keras.layers.CategoryEncoding(5, output_mode="one_hot", name="enc")

    def traced(x):
        model = keras.Model(ids, keras.layers.SimpleRNN(2)(encoded(x)))
        return trace_markers(model, signature_of(model))

    with raises(UnsupportedModelError, "E-MODEL-ENCODING", "layer 'enc'"):
        traced(ids)
    (layer,) = traced(keras.layers.Reshape((-1, 1))(ids)).layers
    assert layer.width == 5
