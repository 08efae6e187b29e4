"""The layer that looks at other steps is named, on export and when it matters."""

import json

import keras
import numpy as np
import pytest
from keras import layers

import rnn_deploy
from rnn_deploy.errors import InputError


def model(kind):
    x = keras.Input((None, 3), name="x")
    h = layers.GRU(4, return_sequences=True, name="first")(x)
    if kind == "conv":
        h = layers.Conv1D(4, 3, padding="same", name="window")(h)
    elif kind == "bidirectional":
        h = layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="window")(h)
    elif kind == "mean":
        h = layers.GlobalAveragePooling1D(name="window")(h)
    return keras.Model(x, layers.Dense(2, name="y")(h))


@pytest.fixture(scope="module")
def convolution(tmp_path_factory):
    return rnn_deploy.export(
        model("conv"), tmp_path_factory.mktemp("b") / "b", to="onnx", long=0
    ).root


@pytest.mark.parametrize(
    ("kind", "layer"),
    [("conv", "window"), ("bidirectional", "backward_lstm"), ("mean", "window")],
)
def test_the_layer_is_named_in_a_note(kind, layer, convolution, tmp_path):
    root = convolution
    if kind != "conv":
        root = rnn_deploy.export(model(kind), tmp_path / "b", to="onnx", long=0).root
    data = json.loads((root / "manifest.json").read_text())
    (note,) = (note for note in data["notes"] if note.startswith("do not stream this model"))
    assert f"layer '{layer}' looks at other steps" in note


def test_verify_says_it_first_and_passes(convolution):
    report = rnn_deploy.verify(convolution, "ort-cpu")
    assert report.passed
    assert "layer 'window'" in report.not_streamed


@pytest.mark.parametrize("option", ["--state-in", "--state-out"])
def test_run_refuses_to_carry_a_state(option, convolution, tmp_path):
    from click.testing import CliRunner

    from rnn_deploy.cli import group

    np.savez(tmp_path / "x.npz", x=np.zeros((1, 4, 3), np.float32))
    words = ["run", convolution, "--inputs", tmp_path / "x.npz", option, tmp_path / "s.npz"]
    ended = CliRunner().invoke(group, [str(word) for word in words])
    assert isinstance(ended.exception, InputError)
    assert ended.exception.code == "E-STATE-NOT-CHUNKED"
    assert option in str(ended.exception)
    assert not (tmp_path / "s.npz").exists()
