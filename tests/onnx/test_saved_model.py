"""The fall-back for a SavedModel: tf2onnx's loops, said so, and the values TensorFlow's."""

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf

import rnn_deploy
from rnn_deploy.errors import BundleError, InputError, UnsupportedModelError
from rnn_deploy.exporting.pipeline import export
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.onnx.cleanup import clean
from rnn_deploy.verifying import verify
from tests.support.errors import raises
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


def test_what_is_missing_is_reported(bundle):
    manifest = bundle.manifest
    assert manifest.source.kind == "SavedModel"
    assert [entry.name for entry in manifest.entries] == ["sequence"]
    assert [artifact.format for artifact in manifest.artifacts] == ["onnx"]
    notes = " ".join(manifest.notes)
    assert "no stream entry point" in notes
    assert "no TFLite" in notes
    assert "export the .keras or .h5 file" in notes


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
        ("sizes", "output"),
    }
    assert all(c.reference_error is None for c in report.comparisons)


def test_streaming_it_is_refused_with_the_reason(bundle):
    with raises(BundleError, "E-BUNDLE-NO-ENTRY", "'stream'", "SavedModel"):
        rnn_deploy.load(bundle, "ort-cpu").stream()


@pytest.mark.parametrize(
    ("options", "code", "name"),
    [
        ({"lowering": "scan"}, "E-SOURCE-SAVED-MODEL-OPTION", "--lowering"),
        ({"profile": "portable"}, "E-SOURCE-SAVED-MODEL-OPTION", "--profile"),
        ({"time": 4}, "E-SOURCE-SAVED-MODEL-OPTION", "--time"),
        ({"state": "reset"}, "E-SOURCE-SAVED-MODEL-OPTION", "--state"),
        ({"quantize": "float16"}, "E-SOURCE-SAVED-MODEL-OPTION", "--quantize"),
        ({"to": "tflite"}, "E-SOURCE-SAVED-MODEL-FORMAT", "TFLite"),
    ],
)
def test_what_a_saved_model_cannot_have_is_refused(saved, options, code, name, tmp_path):
    with raises(UnsupportedModelError, code, name, ".keras"):
        export(saved, tmp_path / "b", ExportOptions(**options))
    assert list(tmp_path.iterdir()) == []


def test_its_opset_and_its_test_data_are_written_on_request(saved, tmp_path):
    options = ExportOptions("onnx", opset=20, test_data=True)
    bundle = export(saved, tmp_path / "b", options)
    assert onnx.load(bundle.root / "sequence.onnx").opset_import[0].version == 20
    assert bundle.checked("test_data/sequence/test_data_set_0/input_0.pb").is_file()


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
    tf.saved_model.save(
        module, str(tmp_path / "s"), signatures={"double": module.double, "again": module.double}
    )
    with raises(UnsupportedModelError, "E-SOURCE-SIGNATURE", "serving_default", "double"):
        export(tmp_path / "s", tmp_path / "b")


class Tokens(tf.Module):
    """A model of plain TensorFlow whose ids come as floats, as old exports have them."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.table = tf.Variable(rng.standard_normal((50, 4)), dtype=tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, 5), tf.float32, name="ids")])
    def look_up(self, ids):
        return {"y": tf.gather(self.table, tf.reshape(tf.cast(ids, tf.int32), (-1, 5)))}

    @tf.function(input_signature=[tf.TensorSpec((None, 5), tf.float32, name="ids")])
    def half(self, ids):
        return {"y": tf.gather(self.table, tf.cast(ids / 2.0, tf.int32))}


def test_the_range_of_ids_is_the_height_of_their_table(tmp_path):
    tokens = Tokens()
    tf.saved_model.save(tokens, tmp_path / "m", signatures={"only": tokens.look_up})
    bundle = export(tmp_path / "m", tmp_path / "b", ExportOptions(["onnx"], long=0))
    (ids,) = bundle.manifest.entries[0].inputs
    assert ids.below == 50


def test_ids_of_an_unknown_range_need_real_inputs_and_those_are_enough(tmp_path):
    tokens = Tokens()
    tf.saved_model.save(tokens, tmp_path / "m", signatures={"serve": tokens.half})
    with raises(InputError, "E-EXPORT-NEEDS-SAMPLES", "--samples", "is not in [0, 50)"):
        export(tmp_path / "m", tmp_path / "b", ExportOptions(["onnx"]))
    samples = {"ids": np.arange(20, dtype=np.float32).reshape(4, 5)}
    options = ExportOptions(["onnx"], samples=samples, long=0)
    assert export(tmp_path / "m", tmp_path / "b", options).manifest.entries


def of_tensorflow_1(place):
    """A SavedModel with a while loop and variables of TensorFlow 1."""
    v1 = tf.compat.v1
    v1.disable_control_flow_v2()
    try:
        with tf.Graph().as_default(), v1.Session() as session:
            x = v1.placeholder(tf.float32, (None, None, 3), "x")
            start = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)
            w = v1.get_variable("w", initializer=start, use_resource=False)
            _, h = v1.while_loop(
                lambda t, h: t < tf.shape(x)[1],
                lambda t, h: (t + 1, tf.tanh(tf.concat([x[:, t], h], 1) @ w)),
                (tf.constant(0), tf.zeros((tf.shape(x)[0], 4))),
                shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, 4])),
            )
            session.run(v1.global_variables_initializer())
            v1.saved_model.simple_save(session, str(place), {"x": x}, {"h": h})
    finally:
        v1.enable_control_flow_v2()
    return place


def test_a_loop_of_tensorflow_1_is_converted_or_refused(tmp_path, monkeypatch, x):
    place = of_tensorflow_1(tmp_path / "m")
    bundle = export(place, tmp_path / "b", ExportOptions(["onnx"], long=0))
    truth = tf.saved_model.load(place).signatures["serving_default"](x=tf.constant(x))["h"]
    np.testing.assert_allclose(rnn_deploy.load(bundle).predict(x), truth, rtol=1e-5, atol=1e-6)

    def wrong(model, *rest):
        next(node for node in model.graph.all_nodes() if node.op_type == "Tanh").op_type = "Sin"
        return clean(model, *rest)

    monkeypatch.setattr("rnn_deploy.onnx.writer.clean", wrong)
    with raises(UnsupportedModelError, "E-SOURCE-TF1-LOOP"):
        export(place, tmp_path / "wrong", ExportOptions(["onnx"], long=0))
