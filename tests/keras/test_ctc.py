"""CTC: training models cut at their predictions, greedy decoding, beam search."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import rnn_deploy
from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.exporting.plan import plan_of
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.keras.ctc import decoding, without_ctc_loss
from rnn_deploy.keras.keras2.package import package
from tests.support.errors import raises
from tests.support.models import randomised

layers, ops = keras.layers, keras.ops
X = np.random.default_rng(3).standard_normal((4, 9, 5)).astype("f")
LENGTHS = np.array([9, 4, 1, 7], "int32")


class LossLayer(layers.Layer):
    """Adds a CTC loss, and returns the predictions as they come."""

    def call(self, labels, y):
        n = ops.ones((ops.shape(y)[0],), "int32")
        loss = ops.ctc_loss(
            ops.cast(labels, "int32"), y, n * ops.shape(labels)[1], n * ops.shape(y)[1]
        )
        self.add_loss(ops.mean(loss))
        return y


def predictions(x):
    rnn = layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="rnn")
    return layers.Dense(6, activation="softmax", name="letters")(rnn(x))


def training_model():
    x, labels = keras.Input((9, 5), name="image"), keras.Input((None,), name="label")
    return randomised(keras.Model([x, labels], LossLayer(name="ctc")(labels, predictions(x))))


def test_a_training_model_ends_at_its_predictions(tmp_path):
    model = training_model()
    bundle = rnn_deploy.export(model, tmp_path / "b", to="onnx", long=0)
    sequence = bundle.manifest.entry("sequence")
    assert [tensor.name for tensor in sequence.inputs] == ["image"]
    assert [tensor.name for tensor in sequence.outputs] == ["letters"]
    (note,) = (note for note in bundle.manifest.notes if "CTC" in note)
    assert "'ctc'" in note
    assert "'letters'" in note
    expected = keras.Model(model.inputs[0], model.get_layer("letters").output)(X)
    np.testing.assert_allclose(rnn_deploy.load(bundle).predict(X), expected, atol=2e-6)


def test_a_loss_as_the_output_of_a_lambda_is_cut_off():
    def ctc_lambda(args):
        y, labels, steps, length = args
        sparse = tf.cast(labels, "int32")
        return tf.nn.ctc_loss(sparse, y, length[:, 0], steps[:, 0], logits_time_major=False)[
            :, None
        ]

    x = keras.Input((9, 5), name="image")
    others = [keras.Input((size,), name=name) for name, size in (("l", 4), ("n", 1), ("m", 1))]
    loss = layers.Lambda(ctc_lambda, output_shape=(1,), name="loss")([predictions(x), *others])
    cut, notes = without_ctc_loss(keras.Model([x, *others], loss))
    assert [tensor.shape for tensor in cut.inputs] == [(None, 9, 5)]
    assert cut.outputs[0].shape == (None, 9, 6)
    assert "l, n, m" in notes[0]


def test_a_training_model_of_tf_keras_is_cut_too():
    keras2 = package()
    x, labels = keras2.Input((9, 5), name="image"), keras2.Input((3,), name="label")
    y = keras2.layers.Dense(6, activation="softmax", name="letters")(
        keras2.layers.GRU(3, return_sequences=True)(x)
    )

    class Loss(keras2.layers.Layer):
        def call(self, inputs):
            labels, y = inputs
            n = tf.ones_like(labels[:, :1])
            self.add_loss(keras2.backend.ctc_batch_cost(labels, y, 9 * n, 3 * n))
            return y

    cut, notes = without_ctc_loss(keras2.Model([x, labels], Loss(name="ctc")([labels, y])))
    assert [tensor.name for tensor in cut.inputs] == ["image"]
    assert len(notes) == 1


def test_other_models_stay_as_they_are():
    class Sum(layers.Layer):
        def call(self, a, b):
            return a + b

    x = keras.Input((9, 5))
    model = keras.Model(x, Sum()(x, predictions(x)[..., :5]))
    assert without_ctc_loss(model) == (model, ())


@pytest.mark.parametrize("blank", [0, 2, -1, None])
@pytest.mark.parametrize("merge", [True, False])
def test_greedy_decoding_is_that_of_tensorflow(blank, merge):
    rows = np.repeat(X, 2, axis=1)  # letters in a row
    options = {"merge_repeated": merge, "mask_index": blank}
    expected = ops.ctc_decode(rows, 2 * LENGTHS, **options) if blank is not None else None
    with decoding():
        ids, scores = ops.ctc_decode(rows, 2 * LENGTHS, **options)
        assert ids.shape == (1, 4, 18)
        if expected is None:
            expected = ops.ctc_decode(rows, 2 * LENGTHS, merge_repeated=merge, mask_index=-1)
    np.testing.assert_array_equal(ids, expected[0])
    np.testing.assert_allclose(scores, expected[1], rtol=1e-5)


@pytest.mark.parametrize("blank", [None, -1, 0, 3, -2])
def test_tensorflows_own_decoder_has_its_blank_last(blank):
    x = np.transpose(X, (1, 0, 2))
    expected, _ = tf.nn.ctc_greedy_decoder(x, LENGTHS, blank_index=blank)
    with decoding():
        found, _ = tf.nn.ctc_greedy_decoder(x, LENGTHS, blank_index=blank)
    np.testing.assert_array_equal(found[0].values, expected[0].values)
    np.testing.assert_array_equal(found[0].indices, expected[0].indices)


class Decode(layers.Layer):
    strategy = "greedy"

    def call(self, x):
        n = ops.shape(x)[1] * ops.ones((ops.shape(x)[0],), "int32")
        return ops.ctc_decode(x, n, strategy=self.strategy, mask_index=0)[0][0]


def decoder(layer):
    x = keras.Input((None, 5), name="x")
    return randomised(keras.Model(x, layer(layers.GRU(6, return_sequences=True)(x))))


def test_a_greedy_decoder_is_exported_with_its_blank(tmp_path):
    model = decoder(Decode(name="decode"))
    bundle = rnn_deploy.export(model, tmp_path / "b", long=0)
    for runtime in ("ort-cpu", "litert"):
        np.testing.assert_array_equal(rnn_deploy.load(bundle, runtime).predict(X), model(X))


def test_beam_search_is_refused_by_the_layers_name():
    layer = Decode(name="decode")
    layer.strategy = "beam_search"
    with raises(UnsupportedModelError, "E-MODEL-BEAM-SEARCH", "'decode'"):
        plan_of(decoder(layer), ExportOptions())
