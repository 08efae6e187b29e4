"""A tf_keras model is traced, read and computed as what it is: interception, cells, float64."""

import numpy as np
import pytest
import tensorflow as tf

import rnn_deploy
from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.exporting.plan import plan_of
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.keras.access import layers_in
from rnn_deploy.keras.intercept import intercepting
from rnn_deploy.keras.keras2.package import CALLED, REPLACED
from rnn_deploy.keras.keras2.precision import in_precision
from rnn_deploy.keras.reading import activation_name
from rnn_deploy.keras.signature import call_flat, signature_of
from rnn_deploy.keras.tracing import trace_markers
from rnn_deploy.numerics.cells import ACTIVATIONS, HARD_SIGMOID_OF_KERAS_2, again
from rnn_deploy.onnx.activations import AS_ATTRIBUTE, AS_NODES
from rnn_deploy.references.reference import Reference
from rnn_deploy.spec import TracedLayer
from tests.support.errors import raises

keras2 = pytest.importorskip("tf_keras")
L = keras2.layers
RNG = np.random.default_rng(3)
X = RNG.standard_normal((3, 6, 4)).astype(np.float32)


def random(model):
    model.set_weights(
        [(0.4 * RNG.standard_normal(w.shape)).astype(w.dtype) for w in model.get_weights()]
    )
    return model


def of(*stack, masking=False):
    x = keras2.Input((None, 4), name="x")
    y = L.Masking()(x) if masking else x
    for one in stack:
        y = one(y)
    return random(keras2.Model(x, y, name="mine"))


HARD = {"recurrent_activation": "hard_sigmoid", "return_sequences": True}
KNOWN = {
    "simple": lambda: L.SimpleRNN(3, activation="hard_sigmoid"),
    "gru": lambda: L.GRU(3, **HARD),
    "gru-before": lambda: L.GRU(3, reset_after=False, **HARD),
    "lstm": lambda: L.LSTM(3, **HARD),
    "lstm-without-bias": lambda: L.LSTM(3, use_bias=False),
    "backwards": lambda: L.LSTM(3, go_backwards=True, return_sequences=True),
    "both": lambda: L.Bidirectional(L.GRU(3, return_sequences=True), merge_mode="mul"),
    "cells": lambda: L.RNN([L.LSTMCell(3), L.GRUCell(2), L.SimpleRNNCell(4)]),
    "unrolled": lambda: L.GRU(3, unroll=False, implementation=1),
}


def masked_x():
    x = X.copy()
    x[0, 4:], x[1, :2], x[2, 2] = 0, 0, 0
    return x


@pytest.mark.parametrize("masking", [False, True])
@pytest.mark.parametrize("name", KNOWN)
def test_what_is_read_computes_what_keras_2_does(name, masking):
    model = of(KNOWN[name](), masking=masking)
    entry = plan_of(model, ExportOptions()).stream.entry
    feeds = {"x": masked_x()}
    runs = Reference(model, entry, "float64").layer_runs(feeds)
    assert runs
    for run in runs:
        assert (run.mask is not None) == masking
        output, states = again(run)
        np.testing.assert_allclose(output, run.output, rtol=1e-9, atol=1e-9)
        for found, expected in zip(states, run.after, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    found = Reference(model, entry).run(feeds)
    plain = model.predict(feeds["x"], verbose=0)
    np.testing.assert_allclose(found[entry.outputs[0].name], plain, rtol=1e-5, atol=1e-6)


def test_the_oracle_is_the_same_model_in_float64():
    model = of(L.LSTM(3, return_sequences=True), L.BatchNormalization(), L.Dense(2))
    twin = in_precision(model, "float64")
    assert in_precision(model, "float32") is model
    assert {layer.compute_dtype for layer in layers_in(twin)} == {"float64"}
    assert keras2.backend.floatx() == "float32"
    for ours, theirs in zip(twin.get_weights(), model.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)
    exact = twin(X.astype(np.float64))
    assert exact.dtype == tf.float64
    np.testing.assert_allclose(exact, model(X), rtol=1e-5, atol=1e-6)


def test_a_model_that_cannot_be_built_again_is_refused():
    class Own(L.Layer):
        def __init__(self, needed):
            super().__init__()

        def call(self, x):
            return x

        def get_config(self):
            return {}

    with raises(UnsupportedModelError, "E-MODEL-REBUILD", "'mine'"):
        in_precision(of(L.LSTM(3), Own(1)), "float64")


def test_interception_leaves_tf_keras_as_it_was():
    kinds = (L.RNN, L.LSTM, L.GRU, L.SimpleRNN, L.Bidirectional, L.TimeDistributed, L.Embedding)
    before = [kind.call for kind in kinds]
    model = of(L.Bidirectional(L.LSTM(3)))
    trace_markers(model, signature_of(model))
    assert [kind.call for kind in kinds] == before


@pytest.mark.parametrize("sequences", [True, False])
def test_time_major_is_asked_batch_first(sequences):
    time_first = L.Lambda(lambda x: tf.transpose(x, [1, 0, 2]))
    rnn = L.LSTM(3, time_major=True, return_sequences=sequences, name="rnn")
    model = of(time_first, rnn)
    plain, shapes = model(X), []

    def handler(call):
        shapes.append(tuple(call.sequences.shape))
        return call.proceed(call.initial_state)

    with intercepting(handler):
        (found,) = call_flat(model, [tf.constant(X)])
    assert shapes == [X.shape]
    np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-6)
    assert rnn.time_major


def test_an_initial_state_reaches_the_handler():
    x, h, c = keras2.Input((None, 4)), keras2.Input((3,)), keras2.Input((3,))
    model = random(keras2.Model([x, h, c], L.LSTM(3, name="rnn")(x, initial_state=[h, c])))
    given = [RNG.standard_normal((3, 3)).astype(np.float32) for _ in range(2)]
    calls = []

    def handler(call):
        calls.append(call)
        return call.proceed(call.initial_state)

    with intercepting(handler):
        (found,) = call_flat(model, [tf.constant(t) for t in (X, *given)])
    for seen, value in zip(calls[0].initial_state, given, strict=True):
        assert np.array_equal(seen, value)
    np.testing.assert_allclose(found, model([X, *given]), rtol=1e-5, atol=1e-6)


def test_a_convolution_is_traced_with_the_states_of_its_cell():
    x = keras2.Input((4, 6, 5, 2))
    model = random(keras2.Model(x, L.ConvLSTM2D(3, 3, padding="valid", name="conv")(x)))
    (layer,) = trace_markers(model, signature_of(model)).layers
    assert isinstance(layer, TracedLayer)
    assert layer.state_shapes == ((4, 3, 3),) * 2


def test_activations_have_the_meaning_of_keras_2():
    x = np.linspace(-9, 9, 1001)
    names = ("tanh", "linear", "relu", "sigmoid", "hard_sigmoid", "softsign", "softplus", "elu",
             "selu", "mish", "gelu", "swish", "exponential")  # fmt: skip
    for name in names:
        function = getattr(keras2.activations, name)
        ours = activation_name(function)
        got = np.asarray(function(tf.constant(x)))
        assert np.allclose(got, ACTIVATIONS[ours](x), rtol=1e-7, atol=1e-7), name
    assert activation_name(keras2.activations.hard_sigmoid) == HARD_SIGMOID_OF_KERAS_2
    assert activation_name(keras2.activations.softmax) is None
    assert not np.allclose(ACTIVATIONS["hard_sigmoid"](x), ACTIVATIONS[HARD_SIGMOID_OF_KERAS_2](x))
    assert AS_ATTRIBUTE[HARD_SIGMOID_OF_KERAS_2].alpha == 0.2
    assert HARD_SIGMOID_OF_KERAS_2 in AS_NODES


@pytest.mark.parametrize("path", [*REPLACED, *CALLED])
def test_the_signatures_of_tf_keras_are_checked(path, monkeypatch):
    from rnn_deploy.keras import compat
    from rnn_deploy.keras.keras2.package import package

    owner, _, name = path.rpartition(".")
    monkeypatch.setattr(compat.find(owner), name, lambda odd: None)
    package.cache_clear()
    try:
        with raises(rnn_deploy.RnnDeployError, "E-EXPORT-KERAS-VERSION", path):
            package()
    finally:
        package.cache_clear()


def test_inputs_and_outputs_have_the_names_of_their_dicts():
    a, b = keras2.Input((None, 4), name="a"), keras2.Input((None, 4), name="b")
    h = L.GRU(3, name="h")(a)
    model = random(keras2.Model({"q": b, "p": a}, {"z": L.Dense(2)(h), "y": L.LSTM(2)(b)}))
    signature = signature_of(model)
    assert [tensor.name for tensor in signature.inputs] == ["a", "b"]
    assert signature.output_names == ("y", "z")
    expected = model({"p": X, "q": 2 * X})
    for name, found in zip(
        "yz", call_flat(model, [tf.constant(X), tf.constant(2 * X)]), strict=True
    ):
        np.testing.assert_allclose(found, expected[name], rtol=1e-6, atol=1e-6)


def test_a_sequential_model_that_was_built_by_a_call_is_read():
    model = keras2.Sequential([L.LSTM(3, name="rnn")])
    model(X)
    assert signature_of(model).inputs[0].shape[2] == 4
    assert [layer.name for layer in trace_markers(model, signature_of(model)).layers] == ["rnn"]


def test_a_subclassed_model_is_refused_with_the_way_out():
    class Sub(keras2.Model):
        def call(self, x):
            return x

    with raises(UnsupportedModelError, "E-MODEL-KERAS2-SUBCLASSED", "tf_keras.Input"):
        signature_of(Sub())


@pytest.mark.slow
def test_a_whole_export_is_what_keras_2_computes(tmp_path):
    """Native and written-out gates, TFLite, ids that are floats, and masks, in one model."""
    ids = keras2.Input((None,), name="ids")
    x = L.Embedding(11, 4, mask_zero=True)(ids)
    x = L.Bidirectional(L.LSTM(3, **HARD), name="both")(x)
    y = L.Dense(2, activation="hard_sigmoid", name="y")(L.GRU(3, **HARD, name="gru")(x))
    model = random(keras2.Model(ids, y))
    bundle = rnn_deploy.export(model, tmp_path / "b", long=0)
    assert [entry.name for entry in bundle.manifest.entries] == ["sequence", "stream"]
    assert rnn_deploy.verify(tmp_path / "b").passed
    feeds = RNG.integers(0, 11, (3, 7)).astype(np.float32)
    for runtime in ("ort-cpu", "litert"):
        found = rnn_deploy.load(tmp_path / "b", runtime).predict(feeds)
        np.testing.assert_allclose(found, model(feeds), rtol=1e-5, atol=1e-6)
