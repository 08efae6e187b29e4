"""The lowering `either`: native for one sequence, Scan for several, outputs and states of both."""

import keras
import numpy as np
import onnx
import pytest
from keras import layers

import rnn_deploy
from rnn_deploy import export
from rnn_deploy.runtimes.artifact import open_artifact
from tests.conftest import randomised

X = np.random.default_rng(7).standard_normal((3, 5, 3)).astype(np.float32)
X[1, 3:] = X[0, 0] = 0  # steps that a Masking(0) takes out


def plain(x):
    y = layers.SimpleRNN(5, return_sequences=True, name="a")(x)
    return layers.LSTM(4, name="b")(y)


def masked(x):
    return layers.GRU(5, return_sequences=True, name="a")(layers.Masking()(x))


def given_state(x):
    first, h = layers.SimpleRNN(4, return_sequences=True, return_state=True, name="a")(x)
    return layers.SimpleRNN(4, name="b")(first, initial_state=h)


def both_ways(x):
    return layers.Bidirectional(layers.SimpleRNN(4, return_sequences=True), name="a")(x)


def model_of(build):
    x = keras.Input((None, 3), name="x")
    return randomised(keras.Model(x, build(x)))


@pytest.mark.parametrize("build", [plain, masked, given_state, both_ways])
@pytest.mark.parametrize("rows", [slice(0, 1), slice(0, 3)], ids=["one", "several"])
def test_both_forms_give_what_keras_gives_and_the_states_of_scan(tmp_path, build, rows):
    model, x = model_of(build), X[rows]
    found, scan = (
        rnn_deploy.load(export(model, tmp_path / name, to=("onnx",), lowering=name, long=0))
        for name in ("either", "scan")
    )
    np.testing.assert_allclose(found.predict(x), model.predict(x, verbose=0), atol=2e-6)
    expected = scan.runner("stream").run({"x": x})
    for name, value in found.runner("stream").run({"x": x}).items():
        assert np.abs(value).max() > 0.01
        np.testing.assert_allclose(value, expected[name], atol=2e-6)


def test_each_form_answers_for_its_own_number_of_sequences(tmp_path):
    bundle = export(model_of(plain), tmp_path / "b", to=("onnx",), lowering="either", long=0)
    place = bundle.root / "sequence.onnx"
    before = [open_artifact(place).run({"x": X[:n]})["b"] for n in (1, 3)]
    model = onnx.load(place)
    for weight in model.graph.initializer:
        if weight.name == "a/B":  # the operator's own bias
            value = onnx.numpy_helper.to_array(weight) + 1
            weight.CopyFrom(onnx.numpy_helper.from_array(value, weight.name))
    spoilt = tmp_path / "spoilt.onnx"
    onnx.save(model, spoilt)
    one, several = (open_artifact(spoilt).run({"x": X[:n]})["b"] for n in (1, 3))
    assert np.abs(one - before[0]).max() > 0.01
    np.testing.assert_array_equal(several, before[1])
