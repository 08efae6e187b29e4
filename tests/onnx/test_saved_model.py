"""The fall-back for a SavedModel: tf2onnx's loops, said so, and the values TensorFlow's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import rnn_deploy
from rnn_deploy.errors import BundleError, UnsupportedModelError
from rnn_deploy.exporting.pipeline import export
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.verifying import verify
from tests.support.models import randomised, small_model

layers = keras.layers


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The small model as a SavedModel: its folder."""
    place = tmp_path_factory.mktemp("saved") / "small"
    small_model().export(place, verbose=False)
    return place


@pytest.fixture(scope="module")
def bundle(saved, tmp_path_factory):
    """The SavedModel's bundle."""
    return export(saved, tmp_path_factory.mktemp("bundles") / "saved")


def test_what_is_missing_is_said(bundle):
    manifest = bundle.manifest
    assert manifest.source.kind == "SavedModel"
    assert [entry.name for entry in manifest.entries] == ["sequence"]
    assert [artifact.format for artifact in manifest.artifacts] == ["onnx"]
    notes = " ".join(manifest.notes)
    assert "no stream entry point" in notes
    assert "no TFLite" in notes
    assert "export the .keras file" in notes


def test_names_and_open_dimensions_are_the_model_s(bundle):
    (entry,) = bundle.manifest.entries
    assert [str(tensor) for tensor in entry.inputs] == ["x float32(batch, time, 3)"]
    assert [tensor.shape for tensor in entry.outputs] == [("batch", "time", 2)]


def test_onnx_runtime_gives_tensorflow_s_values(bundle, x):
    model = rnn_deploy.load(bundle, "ort-cpu")
    for given in (x, x[:1, :1], np.concatenate([x, x], axis=1)):
        np.testing.assert_allclose(
            model.predict(given), small_model()(given), rtol=0, atol=2e-6, equal_nan=False
        )
    report = verify(bundle)
    assert report.passed
    assert {(c.check, c.kind) for c in report.comparisons} == {
        ("sequence", "output"),
        ("reset", "output"),
    }
    assert all(c.reference_error is None for c in report.comparisons)


def test_streaming_it_is_refused_with_the_reason(bundle):
    with pytest.raises(BundleError, match=r"no entry point 'stream'.*SavedModel"):
        rnn_deploy.load(bundle, "ort-cpu").stream()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ExportOptions(lowering="scan"),
            "--time, --state and --quantize do not apply; export the .keras",
        ),
        (
            ExportOptions(time=4),
            "--time, --state and --quantize do not apply; export the .keras",
        ),
        (ExportOptions(("tflite",)), r"loops need more than TFLite's builtin.*--to onnx"),
    ],
)
def test_what_a_saved_model_cannot_have_is_refused(saved, options, message, tmp_path):
    with pytest.raises(UnsupportedModelError, match=message):
        export(saved, tmp_path / "b", options)
    assert list(tmp_path.iterdir()) == []


def test_two_inputs_and_two_outputs_keep_their_names_and_values(tmp_path):
    a, b = keras.Input((None, 3), name="zeta"), keras.Input((4,), name="alpha")
    y, h = layers.SimpleRNN(4, return_sequences=True, return_state=True, name="rnn")(
        a, initial_state=b
    )
    model = randomised(keras.Model({"zeta": a, "alpha": b}, {"ys": y, "last": h}))
    model.export(tmp_path / "saved", verbose=False)
    loaded = rnn_deploy.load(export(tmp_path / "saved", tmp_path / "b", ExportOptions(("onnx",))))
    rng = np.random.default_rng(0)
    feeds = {
        "zeta": rng.standard_normal((2, 6, 3)).astype(np.float32),
        "alpha": rng.standard_normal((2, 4)).astype(np.float32),
    }
    found, truth = loaded.predict(feeds), model(feeds)
    assert set(found) == {"ys", "last"}
    for name, value in truth.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=2e-6, equal_nan=False)
    assert (
        np.abs(loaded.predict(feeds | {"alpha": -feeds["alpha"]})["last"] - truth["last"]).max()
        > 0.01
    )


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_inputs_have_lengths_of_their_own_where_they_may(tmp_path, tied, sampled):
    a, b = keras.Input((None, 3), name="a"), keras.Input((None, 3), name="b")
    _, h = layers.SimpleRNN(4, return_state=True, name="encoder")(a)
    decoder = layers.SimpleRNN(4, return_sequences=True, name="decoder")
    y = decoder(a + b) if tied else decoder(b, initial_state=h)
    model = randomised(keras.Model([a, b], y))
    model.export(tmp_path / "saved", verbose=False)
    rng = np.random.default_rng(0)
    values = [rng.standard_normal((2, 4, 3)).astype(np.float32) for _ in "ab"]
    samples = dict(zip("ab", values, strict=True)) if sampled else None
    options = ExportOptions(("onnx",), samples=samples)
    loaded = rnn_deploy.load(export(tmp_path / "saved", tmp_path / "b", options))
    feeds = {"a": values[0] if tied else values[0][:, :3], "b": values[1]}
    found, truth = loaded.predict(feeds), model(list(feeds.values()))
    np.testing.assert_allclose(found, truth, rtol=0, atol=2e-6, equal_nan=False)
    symbols = [tensor.shape[1] for tensor in loaded.runner().entry.inputs]
    assert symbols == (["time", "time"] if tied else ["a_time", "b_time"])


class WithoutServing(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def double(self, x):
        return 2 * x


def test_a_saved_model_without_a_serving_function_is_refused(tmp_path):
    module = WithoutServing()
    tf.saved_model.save(module, str(tmp_path / "s"), signatures={"double": module.double})
    with pytest.raises(
        UnsupportedModelError, match=r"no signature 'serving_default'.*\['double'\]"
    ):
        export(tmp_path / "s", tmp_path / "b")
