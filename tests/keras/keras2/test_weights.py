"""Weights of Keras 1 and 2 go into the right places of a model that comes from elsewhere."""

import json

import h5py
import numpy as np
import pytest
import tensorflow as tf

from rnn_deploy.errors import InputError
from rnn_deploy.keras.opening import open_model
from tests.support.errors import raises

keras2 = pytest.importorskip("tf_keras")
pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
L = keras2.layers
X = np.random.default_rng(0).standard_normal((2, 6, 5)).astype(np.float32)
BUILDER = """
from keras.models import Sequential
from keras.layers.recurrent import LSTM
import tensorflow as tf

def make():
    return Sequential([LSTM(4, return_sequences=True, input_shape=(6, 5)), tf.keras.layers.GRU(3)])
"""


def random(model):
    rng = np.random.default_rng(1)
    model.set_weights([0.4 * rng.standard_normal(w.shape) for w in model.get_weights()])
    return model


def stack(**gates):
    lstm, gru = L.LSTM(4, return_sequences=True, **gates), L.GRU(3, **gates)
    if gates:
        gru = L.GRU(3, reset_after=False, **gates)
    return random(keras2.Sequential([keras2.Input((6, 5)), lstm, gru]))


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A folder with a model of tf.keras in parts, and the model."""
    folder, model = tmp_path_factory.mktemp("parts"), stack()
    (folder / "m.json").write_text(model.to_json())
    (folder / "config.json").write_text(json.dumps(model.get_config()))
    (folder / "make.py").write_text(BUILDER)
    for name in ("w.h5", "w.weights.h5", "w.ckpt"):
        model.save_weights(folder / name)
    model.save(folder / "whole.h5")
    model.save(folder / "whole.keras")
    tf.train.Checkpoint(model=model).save(folder / "objects" / "m")
    return folder, model


WEIGHTS = ("w.h5", "w.weights.h5", "w.ckpt", "w.ckpt.index", "whole.h5", "whole.keras", "objects")


@pytest.mark.parametrize("name", WEIGHTS)
def test_layers_as_json_and_any_form_of_weights(parts, name):
    folder, model = parts
    opened = open_model(folder / "m.json", weights=folder / name)
    np.testing.assert_allclose(opened.model(X), model(X), rtol=1e-6, atol=1e-6)


def test_a_configuration_alone_is_of_the_keras_that_wrote_the_weights(parts):
    folder, model = parts
    opened = open_model(folder / "config.json", weights=folder / "w.h5")
    np.testing.assert_allclose(opened.model(X), model(X), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_function_builds_the_model_with_the_keras_of_the_weights(parts, name):
    folder, model = parts
    opened = open_model(folder / name, model_from=f"{folder / 'make.py'}:make")
    np.testing.assert_allclose(opened.model(X), model(X), rtol=1e-6, atol=1e-6)
    assert opened.notes == ()


def test_standalone_keras_2_2_had_other_defaults(parts, tmp_path):
    model = stack(recurrent_activation="hard_sigmoid")
    model.save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "r+") as file:
        file.attrs["keras_version"] = "2.2.4"
    opened = open_model(tmp_path / "w.h5", model_from=f"{parts[0] / 'make.py'}:make")
    np.testing.assert_allclose(opened.model(X), model(X), rtol=1e-6, atol=1e-6)
    assert "hard_sigmoid" in opened.notes[0]
    assert L.LSTM(1).recurrent_activation is keras2.activations.sigmoid


def test_weights_that_do_not_fit_are_refused(parts, tmp_path):
    folder, _ = parts
    random(keras2.Sequential([keras2.Input((6, 5)), L.LSTM(2)])).save_weights(tmp_path / "w.h5")
    for options in ({"weights": tmp_path / "w.h5"}, {"weights": folder / "m.json"}):
        with raises(InputError, "E-SOURCE-WEIGHTS"):
            open_model(folder / "m.json", **options)
    with raises(InputError, "E-SOURCE-WEIGHTS", "tf_keras"):
        open_model(folder / "w.ckpt", model_from=keras3_model)


def keras3_model():
    import keras

    return keras.Sequential([keras.Input((6, 5)), keras.layers.LSTM(4)])


def test_kernels_of_theano_are_turned_around(tmp_path):
    model = random(
        keras2.Sequential(
            [
                keras2.Input((4, 6, 6, 2)),
                L.TimeDistributed(L.Conv2D(2, 3)),
                L.ConvLSTM2D(2, 3),
                L.Flatten(),
                L.Dense(2),
            ]
        )
    )
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        for place in (file, file["model_weights"]):
            place.attrs["backend"] = "theano"
    found = open_model(tmp_path / "m.h5").model.get_weights()
    for ours, theirs in zip(found, model.get_weights(), strict=True):
        turned = theirs[::-1, ::-1] if theirs.ndim == 4 else theirs
        np.testing.assert_array_equal(ours, turned)


def test_weights_go_to_the_layer_of_their_name(tmp_path):
    x = keras2.Input((6, 5))
    halves = [L.LSTM(3, name=name)(x) for name in ("a", "b")]
    model = random(keras2.Model(x, L.concatenate(halves)))
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        group = file["model_weights"]
        group.attrs["layer_names"] = list(group.attrs["layer_names"])[::-1]
    np.testing.assert_array_equal(open_model(tmp_path / "m.h5").model(X), model(X))
