"""Files of Keras 1 and 2 are opened as the models that they were, layers included."""

import io
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.keras.opening import OpenedModel, OpenedSavedModel, open_model, weights_digest
from tests.support.errors import raises
from tests.support.keras2_files import gates, gru, layer, lstm, write_h5

keras2 = pytest.importorskip("tf_keras")
pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
L = keras2.layers
WIDTH, UNITS = 5, 4
RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 6, WIDTH)).astype(np.float32)


def arrays(gate_count, *biases):
    """Weights of a layer: kernel, recurrent kernel, bias of these sizes in units."""
    shapes = ((WIDTH, gate_count * UNITS), (UNITS, gate_count * UNITS))
    kernels = [RNG.standard_normal(shape).astype(np.float32) for shape in shapes]
    bias = RNG.standard_normal(sum(biases or (gate_count,)) * UNITS).astype(np.float32)
    return dict(zip(("kernel", "recurrent_kernel", "bias"), (*kernels, bias), strict=True))


def random(model):
    rng = np.random.default_rng(1)
    model.set_weights(
        [(0.4 * rng.standard_normal(w.shape)).astype(w.dtype) for w in model.get_weights()]
    )
    return model


def masked():
    ids = keras2.Input((None,), name="ids")
    x = L.Embedding(11, WIDTH, mask_zero=True)(ids)
    x = L.Bidirectional(L.LSTM(UNITS, return_sequences=True), name="both")(x)
    return keras2.Model(ids, L.TimeDistributed(L.Dense(2))(L.GRU(3, return_sequences=True)(x)))


def encoder_decoder():
    a, b = keras2.Input((None, WIDTH)), keras2.Input((None, WIDTH))
    _, h, c = L.LSTM(UNITS, return_state=True)(a)
    return keras2.Model([a, b], L.LSTM(UNITS)(b, initial_state=[h, c]))


def shared():
    encoder = keras2.Sequential([keras2.Input((7, WIDTH)), L.LSTM(UNITS)])
    a, b = keras2.Input((7, WIDTH)), keras2.Input((7, WIDTH))
    return keras2.Model([a, b], L.Dot(1)([encoder(a), encoder(b)]))


def operations():
    x = keras2.Input((6, WIDTH))
    h = L.LSTM(UNITS, return_sequences=True)(x)
    return keras2.Model(x, tf.reduce_mean(L.Attention()([h, h]) * 2.0, axis=1))


def feeds_of(model):
    shapes = [[2, *(dim or 7 for dim in tensor.shape[1:])] for tensor in model.inputs]
    rng = np.random.default_rng(2)
    drawn = [
        rng.integers(0, 11, shape) if len(shape) == 2 else rng.standard_normal(shape)
        for shape in shapes
    ]
    values = [value.astype(np.float32) for value in drawn]
    return values if len(values) > 1 else values[0]


@pytest.mark.parametrize("ending", [".h5", ".keras", ""])
@pytest.mark.parametrize("build", [masked, encoder_decoder, shared, operations])
def test_a_file_of_keras_2_is_the_model_that_was_saved(build, ending, tmp_path):
    model = random(build())
    place = tmp_path / f"m{ending}"
    model.save(place, **({} if ending else {"save_format": "tf"}))
    opened = open_model(place)
    assert isinstance(opened, OpenedModel)
    assert opened.source.digest == weights_digest(model)
    assert opened.notes == ()
    feeds = feeds_of(model)
    np.testing.assert_allclose(opened.model(feeds), model(feeds), rtol=1e-6, atol=1e-6)


def test_a_live_model_is_taken_as_it_is():
    model = random(masked())
    assert open_model(model).model is model


def test_an_lstm_of_keras_2_2_has_the_gates_of_keras_2(tmp_path):
    weights = arrays(4)
    config = layer("LSTM", "a/b", units=UNITS, batch_input_shape=[None, None, WIDTH], **gates())
    opened = open_model(write_h5(tmp_path / "m.h5", [config], {"a/b": weights}))
    expected = lstm(X.astype(np.float64), *weights.values())
    np.testing.assert_allclose(opened.model(X), expected, rtol=1e-5, atol=1e-6)


def test_a_gru_of_keras_2_1_resets_before_the_product(tmp_path):
    weights = arrays(3)
    config = layer("GRU", "g", units=UNITS, batch_input_shape=[None, None, WIDTH], **gates())
    opened = open_model(write_h5(tmp_path / "m.h5", [config], {"g": weights}))
    expected = gru(X.astype(np.float64), *weights.values())
    np.testing.assert_allclose(opened.model(X), expected, rtol=1e-5, atol=1e-6)


def test_a_cudnn_lstm_is_read_in_the_layout_of_cudnn(tmp_path):
    weights = arrays(4, 4, 4)
    options = {"return_sequences": True, "return_state": False, "units": UNITS}
    config = layer("CuDNNLSTM", "c", batch_input_shape=[None, None, WIDTH], **options)
    opened = open_model(write_h5(tmp_path / "m.h5", [config], {"c": weights}))
    # cuDNN stores each gate's matrix (units, width) row by row, and a bias for both products.
    turned = [
        np.hstack([part.reshape(part.shape[::-1]).T for part in np.split(kernel, 4, axis=1)])
        for kernel in (weights["kernel"], weights["recurrent_kernel"])
    ]
    bias = weights["bias"].reshape(2, -1).sum(axis=0)
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    expected = lstm(X.astype(np.float64), *turned, bias, sigmoid)
    np.testing.assert_allclose(opened.model(X), expected, rtol=1e-5, atol=1e-5)


def test_an_lstm_of_keras_1_has_its_twelve_weights_in_place(tmp_path):
    parts = {
        f"{kind}_{gate}": RNG.standard_normal(shape).astype(np.float32)
        for gate in "icfo"
        for kind, shape in (("W", (WIDTH, UNITS)), ("U", (UNITS, UNITS)), ("b", (UNITS,)))
    }
    config = layer(
        "LSTM", "lstm_1", output_dim=UNITS, inner_activation="hard_sigmoid", activation="tanh",
        init="glorot_uniform", inner_init="orthogonal", forget_bias_init="one",
        consume_less="cpu", return_sequences=True, W_regularizer=None, dropout_W=0.0,
        dropout_U=0.0, input_dim=WIDTH, batch_input_shape=[None, None, WIDTH],
    )  # fmt: skip
    place = write_h5(tmp_path / "m.h5", [config], {"lstm_1": parts}, version="1.2.0")
    together = [np.concatenate([parts[f"{kind}_{gate}"] for gate in "ifco"], axis=-1)
                for kind in "WUb"]  # fmt: skip
    expected = lstm(X.astype(np.float64), *together)
    np.testing.assert_allclose(open_model(place).model(X), expected, rtol=1e-5, atol=1e-6)


def test_a_model_without_an_input_shape_gets_one_from_its_weights(tmp_path):
    config = layer("LSTM", "l", units=UNITS, **gates())
    opened = open_model(write_h5(tmp_path / "m.h5", [config], {"l": arrays(4)}, "2.3.1"))
    assert opened.model.input_shape == (None, None, WIDTH)
    with raises(InputError, "E-SOURCE-NO-SHAPE", "odd.h5"):
        open_model(write_h5(tmp_path / "odd.h5", [layer("Dense", "d", units=3)], {}, "2.3.1"))


def test_an_unknown_constraint_is_left_out_with_a_note(tmp_path):
    clip = {"class_name": "MyClip", "config": {"c": 0.5}}
    options = gates(kernel_constraint=clip, batch_input_shape=[None, None, WIDTH])
    config = layer("LSTM", "l", units=UNITS, **options)
    (note,) = open_model(write_h5(tmp_path / "m.h5", [config], {"l": arrays(4)})).notes
    assert "MyClip" in note


def test_weights_alone_are_named_so(tmp_path):
    random(masked()).save_weights(tmp_path / "w.h5")
    with raises(InputError, "E-SOURCE-WEIGHTS-ONLY", "w.h5", "--model-from"):
        open_model(tmp_path / "w.h5")


@pytest.mark.parametrize("ending", [".h5", ".keras"])
def test_code_in_a_file_runs_only_when_trusted(ending, tmp_path):
    model = keras2.Sequential([keras2.Input((None, 3)), L.Lambda(lambda x: 2 * x), L.LSTM(2)])
    model.save(tmp_path / f"m{ending}")
    with raises(UnsupportedModelError, "E-SOURCE-CODE", "Lambda", "--trust-source"):
        open_model(tmp_path / f"m{ending}")
    opened = open_model(tmp_path / f"m{ending}", trust_source=True).model
    x = X[..., :3]
    np.testing.assert_allclose(opened(x), model(x), rtol=1e-6)


class Own(L.Layer):
    def call(self, x):
        return x


@pytest.mark.parametrize("ending", [".h5", ".keras"])
def test_an_unknown_class_is_named_in_every_format_and_known_where_it_is_registered(
    ending, tmp_path
):
    model = random(keras2.Sequential([keras2.Input((None, WIDTH)), L.LSTM(2), Own()]))
    model.save(tmp_path / f"m{ending}")
    with raises(UnsupportedModelError, "E-SOURCE-CLASS", "Own"):
        open_model(tmp_path / f"m{ending}")
    with keras.saving.custom_object_scope({"Own": Own}):
        opened = open_model(tmp_path / f"m{ending}").model
    np.testing.assert_allclose(opened(X), model(X), rtol=1e-6)


def altered(source, place, change):
    """A copy of an archive in which `change(name, content)` replaces contents."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(place, "w") as target:
        for name in archive.namelist():
            target.writestr(name, change(name, archive.read(name)))
    return place


def test_an_archive_of_keras_2_15_names_other_modules(tmp_path):
    model = random(masked())
    model.save(tmp_path / "m.keras")

    def as_written_by_keras(name, content):
        if name == "metadata.json":
            return json.dumps({"keras_version": "2.15.0"}).encode()
        return content.replace(b"tf_keras", b"keras") if name == "config.json" else content

    place = altered(tmp_path / "m.keras", tmp_path / "old.keras", as_written_by_keras)
    assert open_model(place).source.digest == weights_digest(model)


def test_an_archive_of_windows_has_backslashes_in_the_names_of_its_weights(tmp_path):
    model = random(keras2.Sequential([keras2.Input((None, WIDTH)), L.GRU(3), L.Dense(2)]))
    model.save(tmp_path / "m.keras")

    def as_on_windows(name, content):
        if not name.endswith(".h5"):
            return content
        target = io.BytesIO()
        with h5py.File(io.BytesIO(content)) as file, h5py.File(target, "w") as other:

            def copy(path, item):
                name = path.replace("layers/", "layers\\").replace("gru/cell", "gru\\cell")
                if isinstance(item, h5py.Dataset):
                    other[name] = item[()]
                else:
                    other.require_group(name)

            file.visititems(copy)
        return target.getvalue()

    place = altered(tmp_path / "m.keras", tmp_path / "windows.keras", as_on_windows)
    assert open_model(place).source.digest == weights_digest(model)


def test_a_saved_model_whose_layers_are_unknown_is_opened_as_its_function(tmp_path):
    model = random(keras2.Sequential([keras2.Input((None, WIDTH)), L.LSTM(2), Own()]))
    model.save(tmp_path / "m", save_format="tf")
    assert isinstance(open_model(tmp_path / "m"), OpenedSavedModel)


def test_half_precision_becomes_float32(tmp_path):
    policy = keras2.mixed_precision.Policy("mixed_float16")
    model = keras2.Sequential([keras2.Input((None, WIDTH)), L.LSTM(3, dtype=policy)])
    random(model).save(tmp_path / "m.h5")
    opened = open_model(tmp_path / "m.h5")
    assert opened.model(X).dtype == tf.float32
    np.testing.assert_allclose(opened.model(X), model(X), rtol=1e-2, atol=1e-2)
    assert opened.source.digest == weights_digest(model)
