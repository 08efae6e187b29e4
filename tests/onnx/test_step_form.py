"""step.onnx, the stream at one step without a loop: when it is written, and that it is right."""

import keras
import numpy as np
import pytest
from keras import layers

import rnn_deploy
from rnn_deploy import export
from rnn_deploy.inference.stream import Stream
from rnn_deploy.spec import STEP
from tests.support.models import randomised

X = np.random.default_rng(6).standard_normal((2, 5, 3)).astype(np.float32)
X[1, 2:] = X[0, 0] = 0  # steps that a Masking(0) takes out, at the end and at the beginning


def model_of(*stack):
    x = y = keras.Input((None, 3), name="x")
    for layer in stack:
        y = layer(y)
    return randomised(keras.Model(x, y))


def lowerings_of(bundle):
    artifact = bundle.manifest.artifact("onnx", STEP)
    return artifact and [choice.lowering for choice in artifact.choices]


def exported(model, place, **options):
    return export(model, place / "b", to=("onnx",), long=0, **options)


@pytest.mark.parametrize(
    "stack",
    [
        (layers.GRU(4, return_sequences=True), layers.GRU(3, reset_after=False)),
        (layers.GRU(4, use_bias=False, return_sequences=True), layers.LSTM(3, use_bias=False)),
        (layers.Masking(), layers.LSTM(4, return_sequences=True), layers.SimpleRNN(3)),
        (layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], return_sequences=True),),
    ],
    ids=["gru", "no bias", "masked", "cells"],
)
def test_steps_one_by_one_give_the_outputs_and_states_of_the_whole(tmp_path, stack):
    model = model_of(*stack)
    bundle = exported(model, tmp_path)
    assert set(lowerings_of(bundle)) == {"unrolled"}
    runner = rnn_deploy.load(bundle).runner("stream")
    whole = runner.run({"x": X})
    stream = Stream(runner, batch=2)
    steps = [stream.step(X[:, t : t + 1]) for t in range(5)]
    y = model.predict(X, verbose=0)
    found = np.concatenate(steps, axis=1) if y.ndim == 3 else steps[-1]
    np.testing.assert_allclose(found, y, atol=2e-6)
    for name, value in stream.finals().items():
        assert np.abs(value).max() > 0.01
        np.testing.assert_allclose(value, whole[name], atol=2e-6)


def test_a_layer_that_gets_two_steps_for_one_gets_both(tmp_path):
    bundle = exported(model_of(layers.UpSampling1D(2), layers.GRU(4, name="rnn")), tmp_path)
    runner = rnn_deploy.load(bundle).runner("stream")
    stream = Stream(runner, batch=2)
    last = [stream.step(X[:, t : t + 1]) for t in range(5)][-1]
    np.testing.assert_allclose(last, runner.run({"x": X})["rnn"], atol=2e-6)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["unrolled", "unrolled"]),
        ({"lowering": {"a": "native"}}, ["native", "unrolled"]),
        ({"lowering": "scan"}, None),
        ({"target": "openvino"}, None),
        ({"target": "portable"}, None),
        ({"state": "reset"}, None),
    ],
    ids=str,
)
def test_it_is_written_where_auto_may_choose_for_onnx_runtime(tmp_path, options, expected):
    model = model_of(layers.GRU(3, return_sequences=True, name="a"), layers.LSTM(2, name="b"))
    assert lowerings_of(exported(model, tmp_path, **options)) == expected


def test_there_is_none_where_chunks_do_not_give_the_whole(tmp_path):
    model = model_of(layers.Bidirectional(layers.GRU(3, return_sequences=True)))
    assert lowerings_of(exported(model, tmp_path)) is None
