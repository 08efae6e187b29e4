"""Layers that the model itself calls in training mode."""

import keras
import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.exporting.plan import plan_of
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.keras.keras2.package import package
from rnn_deploy.keras.signature import call_flat
from rnn_deploy.keras.training import without_dropout
from tests.support.errors import raises
from tests.support.models import randomised

layers = keras.layers
X = 1 + 3 * np.random.default_rng(5).standard_normal((3, 6, 3)).astype("f")


def functional(call):
    x = keras.Input((None, 3), name="x")
    model = randomised(keras.Model(x, call(x)))
    model.set_weights([np.abs(w) if w.ndim == 1 else w for w in model.get_weights()])  # variances
    return model


def in_nested(x):
    y = keras.Input((None, 3))
    return keras.Model(y, layers.BatchNormalization()(y))(x, training=True)


class Subclassed(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.layer, self.rnn = layer, layers.GRU(4)

    def call(self, x):
        return self.rnn(self.layer(x, training=True))


def statistics(model):
    return [weight.numpy() for weight in model.non_trainable_weights]


def by_keras(model):
    """What model(X) gives, its moving statistics as before."""
    before = model.get_weights()
    value = np.asarray(model(X))
    model.set_weights(before)
    return value


@pytest.mark.parametrize(
    "normalise",
    [
        lambda x: layers.BatchNormalization()(x, training=True),
        in_nested,
    ],
)
def test_normalisation_by_the_batch_is_kept_and_writes_nothing(normalise):
    model = functional(lambda x: layers.GRU(4)(normalise(x)))
    expected, before = by_keras(model), statistics(model)
    (found,) = call_flat(model, [X])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(statistics(model), before)
    assert np.abs(expected - model.predict(X, verbose=0)).max() > 0.01


def test_normalisation_by_the_batch_is_exported_exactly(tmp_path):
    model = functional(lambda x: layers.GRU(4)(layers.BatchNormalization()(x, training=True)))
    expected, before = by_keras(model), statistics(model)
    bundle = rnn_deploy.export(model, tmp_path / "b", long=0)
    np.testing.assert_array_equal(statistics(model), before)
    for runtime in ("ort-cpu", "litert"):
        found = rnn_deploy.load(bundle, runtime).predict(X)
        np.testing.assert_allclose(found, expected, atol=2e-6)
    assert not bundle.manifest.entries[0].rows.ok


def test_normalisation_of_a_frozen_layer_uses_its_own_statistics():
    def frozen(x):
        return layers.BatchNormalization(trainable=False)(x, training=True)

    model = functional(frozen)
    np.testing.assert_allclose(call_flat(model, [X])[0], model.predict(X, verbose=0), atol=1e-6)


def test_normalisation_of_each_step_by_its_own_batch_is_refused():
    normalised = layers.TimeDistributed(layers.BatchNormalization(name="bn"), name="each")
    with raises(UnsupportedModelError, "E-MODEL-NORMALISED-STEPS", "'each'", "'bn'"):
        plan_of(functional(lambda x: layers.GRU(4)(normalised(x, training=True))), ExportOptions())


def test_normalisation_in_tf_keras_writes_nothing():
    keras2 = package()
    x = keras2.Input((4, 5, 3))
    model = keras2.Model(x, keras2.layers.BatchNormalization()(x, training=True))
    image = np.random.default_rng(6).standard_normal((2, 4, 5, 3)).astype("f")
    before = statistics(model)
    (found,) = call_flat(model, [image])
    np.testing.assert_array_equal(statistics(model), before)
    np.testing.assert_allclose(found, np.asarray(model(image)), atol=1e-5)


def test_c_refuses_normalisation_by_the_batch():
    def normalised(x):
        return layers.GRU(4)(layers.BatchNormalization(name="bn")(x, training=True))

    with raises(UnsupportedModelError, "E-MODEL-C-LAYER", "bn", "training=True"):
        rnn_deploy.export(functional(normalised), "unused", to="c", long=0)


class MonteCarlo(layers.Dropout):
    def call(self, x, training=None):
        return super().call(x, training=True)


DROPPING = {
    "drop": lambda x: layers.GRU(4)(layers.Dropout(0.5, name="drop")(x, training=True)),
    "noise": lambda x: layers.GRU(4)(layers.GaussianNoise(0.5, name="noise")(x, training=True)),
    "rnn": lambda x: layers.LSTM(4, recurrent_dropout=0.2, name="rnn")(x, training=True),
    "forward_half": lambda x: layers.Bidirectional(
        layers.GRU(4, dropout=0.2, name="half"), name="both"
    )(x, training=True),
    "inner": lambda x: layers.GRU(4)(
        layers.TimeDistributed(layers.SpatialDropout1D(0.5, name="inner"))(
            x[..., None, :], training=True
        )[:, :, 0]
    ),
    "mc": lambda x: layers.GRU(4)(MonteCarlo(0.5, name="mc")(x)),
}


@pytest.mark.parametrize("name", DROPPING)
def test_dropout_at_inference_is_refused_by_name_or_left_out(name):
    model = functional(DROPPING[name])
    with raises(UnsupportedModelError, "E-MODEL-DROPOUT", f"'{name}'", "--dropout off"):
        plan_of(model, ExportOptions())
    with without_dropout(True) as left_out:
        plan_of(model, ExportOptions(dropout="off"))
        assert name in left_out()
        if "rnn" not in name and "half" not in name:  # those are called as Keras has them here
            expected = model.predict(X, verbose=0) if name != "mc" else call_flat(model, [X])[0]
            np.testing.assert_allclose(call_flat(model, [X])[0], expected, atol=1e-6)


def test_export_without_dropout_names_it_and_gives_the_values_of_predict(tmp_path):
    model = functional(DROPPING["rnn"])
    bundle = rnn_deploy.export(model, tmp_path / "b", to="onnx", dropout="off", long=0)
    found = rnn_deploy.load(bundle).predict(X)
    np.testing.assert_allclose(found, model.predict(X, verbose=0), atol=1e-6)
    assert "the dropout of layer 'rnn' is left out, as requested" in bundle.manifest.notes
    assert bundle.manifest.extensions["dropout-off"].data == {"layers": ["rnn"]}


def test_dropout_off_is_refused_where_nothing_drops(tmp_path):
    model = functional(lambda x: layers.GRU(4)(layers.Dropout(0.5)(x)))
    with raises(InputError, "E-EXPORT-DROPOUT-UNUSED", "--dropout off"):
        rnn_deploy.export(model, tmp_path / "b", to="onnx", dropout="off", long=0)
    with raises(InputError, "E-EXPORT-CHOICE", "--dropout"):
        ExportOptions(dropout="of")


def test_a_subclassed_model_is_refused_by_the_layer_that_drops():
    model = Subclassed(layers.Dropout(0.5, name="drop"))
    model(X)
    with raises(UnsupportedModelError, "E-MODEL-DROPOUT", "'drop'"):
        plan_of(model, ExportOptions())


def test_a_cell_of_the_users_own_runs_in_the_mode_it_is_called_in(tmp_path):
    class Cell(keras.layers.Layer):
        state_size = output_size = 3

        def call(self, x, states, training=False):
            h = (3.0 if training else 1.0) * x + 0.5 * states[0]
            return h, [h]

    model = functional(lambda x: layers.RNN(Cell())(x, training=True))
    bundle = rnn_deploy.export(model, tmp_path / "b", to="onnx", long=0)
    np.testing.assert_allclose(rnn_deploy.load(bundle).predict(X), np.asarray(model(X)), rtol=1e-5)
