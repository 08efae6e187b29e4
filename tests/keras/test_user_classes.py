"""Python files with the user's classes, for files of either Keras; the imports come back."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnn_deploy import export
from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.keras.keras2.package import package
from rnn_deploy.keras.opening import OpenedSavedModel, open_model
from rnn_deploy.keras.user_classes import user_classes
from tests.support.errors import raises

keras2 = pytest.importorskip("tf_keras")
pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
X = np.random.default_rng(0).standard_normal((2, 4, 3)).astype(np.float32)
OF_KERAS_2 = """
import tensorflow as tf
from keras import backend as K
from keras.engine.topology import Layer
from tensorflow.keras.layers import Dense

def bent(x):
    return x * K.sigmoid(2.0 * x)

class Own(Layer):
    def __init__(self, units=2, **options):
        super().__init__(**options)
        self.units, self.inner = units, tf.keras.layers.Dense(units)

    def call(self, x):
        return tf.keras.activations.tanh(self.inner(x))

    def get_config(self):
        return {**super().get_config(), "units": self.units}
"""
OF_KERAS_3 = """
import keras
from keras import ops

class Own(keras.layers.Layer):
    def call(self, x):
        return ops.tanh(x)
"""


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A folder with own.py and a model of Keras 2 that needs it, in every format."""
    folder = tmp_path_factory.mktemp("old")
    (folder / "own.py").write_text(OF_KERAS_2)
    own = user_classes([folder / "own.py"], keras2=True)
    layers = keras2.layers
    rnn = layers.LSTM(2, activation=own["bent"], return_sequences=True, name="rnn")
    model = keras2.Sequential([keras2.Input((None, 3)), rnn, own["Own"](3, name="mine")])
    model.set_weights([np.random.default_rng(1).standard_normal(w.shape) for w in model.weights])
    model.save(folder / "m.h5")
    model.save(folder / "m.keras")
    model.save(folder / "m", save_format="tf")
    (folder / "m.json").write_text(model.to_json())
    model.save_weights(folder / "w.h5")
    return folder, model


def opened(folder, name, **options):
    given = {"weights": folder / "w.h5"} if name == "m.json" else {}
    return open_model(folder / name, **given, **options)


@pytest.mark.parametrize("name", ["m.h5", "m.keras", "m", "m.json"])
def test_a_file_of_keras_2_gets_its_classes_from_a_python_file(old, name):
    folder, model = old
    if name == "m":
        without = opened(folder, name)
        assert isinstance(without, OpenedSavedModel)
        assert without.why
    else:
        with raises(UnsupportedModelError, "E-SOURCE-CLASS", "layer '", "--custom"):
            opened(folder, name)
    found = opened(folder, name, custom=[folder / "own.py"]).model
    np.testing.assert_allclose(found(X), model(X), rtol=1e-6, atol=1e-6)


def test_the_float64_form_of_the_model_needs_them_too(old, tmp_path):
    folder, _ = old
    place = folder / "m.h5"
    bundle = export(place, tmp_path / "b", to="onnx", long=0, custom=folder / "own.py")
    assert (bundle.root / "sequence.onnx").exists()


def test_a_class_of_keras_3_does_not_fit_a_file_of_keras_2(old, tmp_path):
    (tmp_path / "own3.py").write_text(OF_KERAS_3 + "\ndef bent(x):\n    return x\n")
    with raises(UnsupportedModelError, "E-SOURCE-CLASS", "'mine'", "tf_keras.layers.Layer"):
        opened(old[0], "m.h5", custom=[tmp_path / "own3.py"])


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_file_of_keras_3_gets_its_classes_from_a_python_file(tmp_path, ending):
    (tmp_path / "own.py").write_text(OF_KERAS_3)
    own = user_classes([tmp_path / "own.py"])["Own"]
    model = keras.Sequential([keras.Input((None, 3)), keras.layers.GRU(2), own(name="mine")])
    model.save(tmp_path / f"m{ending}")
    with raises(UnsupportedModelError, "E-SOURCE-CLASS", "layer 'mine'", "'Own'", "--custom"):
        open_model(tmp_path / f"m{ending}")
    found = open_model(tmp_path / f"m{ending}", custom=tmp_path / "own.py").model
    np.testing.assert_array_equal(found(X), model(X))


def test_imports_are_as_before(old):
    assert sys.modules["keras"] is keras
    assert sys.modules["keras.layers"] is keras.layers
    assert tf.keras.layers.LSTM is keras.layers.LSTM
    assert package() is keras2
    with raises(InputError, "E-SOURCE-NO-PYTHON"):
        user_classes([old[0] / "nothing.py"], keras2=True)
