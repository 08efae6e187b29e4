"""Sizes that a model remembers, declares, or is given."""

import keras
import numpy as np

import rnn_deploy
from rnn_deploy.errors import InputError
from rnn_deploy.exporting.plan import plan_of
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.keras.keras2.package import package
from tests.support.errors import raises
from tests.support.models import randomised, small_model

layers = keras.layers
X = np.random.default_rng(7).standard_normal((8, 6, 3)).astype("f")


def shape_of(model, **options):
    plan = plan_of(model, ExportOptions(**options))
    return plan.sequence.entry.inputs[0].shape


def built_by_its_first_call(*stack):
    model = keras.Sequential(list(stack))
    model.predict(X, verbose=0)
    return model


def stateful(batch=4, time=5):
    x = keras.Input((time, 3), batch_size=batch, name="x")
    rnn = layers.LSTM(4, stateful=True, return_sequences=True, name="rnn")
    return randomised(keras.Model(x, rnn(x)))


def test_a_sequential_model_opens_what_it_remembers_of_its_first_call(tmp_path):
    model = built_by_its_first_call(layers.GRU(4, return_sequences=True), layers.Dense(2))
    bundle = rnn_deploy.export(model, tmp_path / "b", to="onnx", long=0)
    assert bundle.manifest.entries[0].inputs[0].shape == ("batch", "time", 3)
    assert any("--batch 8" in note for note in bundle.manifest.notes)
    assert any("steps (6)" in note for note in bundle.manifest.notes)
    other = X[:2, :5]
    found = rnn_deploy.load(bundle).predict(other)
    np.testing.assert_allclose(found, np.asarray(model(other)), atol=1e-6)
    assert shape_of(model, time=6, batch=8) == (8, 6, 3)


def test_a_layer_that_needs_the_steps_keeps_them():
    model = built_by_its_first_call(
        layers.GRU(4, return_sequences=True), layers.Flatten(), layers.Dense(1)
    )
    assert shape_of(model) == ("batch", 6, 3)


def test_a_stateful_sequential_model_keeps_its_batch():
    assert shape_of(built_by_its_first_call(layers.GRU(4, stateful=True))) == (8, 6, 3)


def test_a_sequential_model_of_tf_keras_opens_its_batch():
    keras2 = package()
    first = keras2.layers.InputLayer(batch_input_shape=(8, 6, 3))
    model = keras2.Sequential([first, keras2.layers.GRU(4)])
    assert shape_of(model)[0] == "batch"


def test_batch_and_time_are_opened_and_fixed_on_request(tmp_path):
    assert shape_of(stateful()) == (4, 5, 3)
    assert shape_of(stateful(), time="open") == (4, "time", 3)
    assert shape_of(stateful(), batch=1, time=5) == (1, 5, 3)
    assert shape_of(small_model(), batch=2) == (2, "time", 3)
    model = stateful()
    bundle = rnn_deploy.export(model, tmp_path / "b", batch="open", time="open", long=0)
    stream = bundle.manifest.entry("stream")
    assert stream.inputs[0].shape == ("batch", "time", 3)
    assert {state.tensor.shape for state in stream.states} == {("batch", 4)}
    assert rnn_deploy.verify(bundle).passed
    assert rnn_deploy.load(bundle).stream(1).step(X[:1, :1]).shape == (1, 1, 4)


def test_sizes_that_cannot_be_are_refused():
    with raises(InputError, "E-EXPORT-NUMBER", "--batch 0"):
        ExportOptions(batch=0)
    with raises(InputError, "E-EXPORT-NUMBER", "--time any"):
        ExportOptions(time="any")
    with raises(InputError, "E-EXPORT-BATCH-FORMAT", "--batch 2"):
        ExportOptions(("tflite-micro",), batch=2)
    model = stateful()
    model(X[:4, :5])
    with raises(InputError, "E-EXPORT-BATCH-KEEP", "--batch open", "4 sequences"):
        plan_of(model, ExportOptions(batch="open", state="keep"))
