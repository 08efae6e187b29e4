"""What is opened as a model, and what is refused, with one line that says why."""

import zipfile

import h5py
import keras
import numpy as np
import pytest

from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.keras.opening import OpenedModel, OpenedSavedModel, open_model, weights_digest
from tests.support.errors import raises
from tests.support.models import randomised, small_model


@pytest.fixture(scope="module")
def small_h5(tmp_path_factory, small_keras):
    """The small model as HDF5: its path. (Keras would warn that the format is old.)"""
    place = tmp_path_factory.mktemp("h5") / "small.h5"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.src.saving.saving_api.logging, "warning", lambda *args: None)
        small_model().save(place)
    return place


@pytest.mark.parametrize("as_text", [True, False])
def test_a_keras_file_is_opened(small_keras, as_text):
    opened = open_model(str(small_keras) if as_text else small_keras)
    assert isinstance(opened, OpenedModel)
    assert (opened.source.kind, opened.source.name) == (".keras", "small.keras")


def test_every_form_of_a_model_has_one_digest(small_keras, small_h5):
    live = small_model()
    digests = {open_model(source).source.digest for source in (live, small_keras, small_h5)}
    assert digests == {weights_digest(live)}
    assert open_model(small_h5).source.kind == ".h5"


def test_operations_stay_what_they_are_where_layers_have_their_names(tmp_path):
    """As layers, Concatenate and Softmax would heed the mask, and Subtract take one list."""
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    x = keras.layers.Embedding(9, 4, mask_zero=True)(tokens)
    h = keras.layers.GRU(4, return_sequences=True, name="h")(x)
    joined = keras.ops.concatenate([h - x, x], axis=-1)
    last = keras.layers.LSTM(3, name="last")(joined)
    model = randomised(keras.Model(tokens, [last, keras.ops.softmax(h, axis=1)]))
    model.save(tmp_path / "m.keras")
    feeds = np.array([[1, 2, 0, 3, 0]], np.int32)
    opened = open_model(tmp_path / "m.keras").model
    for found, truth in zip(opened(feeds), model(feeds), strict=True):
        np.testing.assert_array_equal(found, truth)


@pytest.mark.parametrize("name", ["model.keras", "model", "model.h5.bak"])
def test_the_content_says_what_a_file_is_not_its_name(small_keras, small_h5, tmp_path, name):
    for source, kind in ((small_h5, ".h5"), (small_keras, ".keras")):
        renamed = tmp_path / name
        renamed.write_bytes(source.read_bytes())
        opened = open_model(renamed)
        assert (opened.source.kind, opened.source.name) == (kind, name)


@pytest.mark.parametrize("index", range(8))
def test_the_digest_tells_every_weight(index):
    model = small_model()
    before, weights = weights_digest(model), model.get_weights()
    weights[index].reshape(-1)[-1] += 1e-6
    model.set_weights(weights)
    assert weights_digest(model) != before


def truncated_archive(small_keras, small_h5, place):
    content = small_keras.read_bytes()
    place.write_bytes(content[: len(content) // 2])


def altered_archive(small_keras, small_h5, place):
    content = bytearray(small_keras.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    place.write_bytes(content)


def truncated_hdf5(small_keras, small_h5, place):
    content = small_h5.read_bytes()
    place.write_bytes(content[: len(content) // 2])


def hdf5_of_something_else(small_keras, small_h5, place):
    with h5py.File(place, "w") as file:
        file["temperature"] = np.arange(3)


def text_file(small_keras, small_h5, place):
    place.write_text("import keras\n")


def empty_file(small_keras, small_h5, place):
    place.touch()


def other_zip(small_keras, small_h5, place):
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("readme.txt", "nothing")


def zip_with_wrong_config(small_keras, small_h5, place):
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("config.json", "{]")
        archive.writestr("metadata.json", "{}")


def empty_folder(small_keras, small_h5, place):
    place.mkdir()


def weights_alone(small_keras, small_h5, place):
    model = small_model()
    model.save_weights(place.with_name("m.weights.h5"))
    place.with_name("m.weights.h5").rename(place)


def layers_alone(small_keras, small_h5, place):
    place.write_text(small_model().to_json())


def folder_with_a_wrong_graph(small_keras, small_h5, place):
    place.mkdir()
    (place / "saved_model.pb").write_bytes(b"\x00\x01 no graph")


def nothing(small_keras, small_h5, place):
    pass


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (nothing, "E-SOURCE-NOT-FOUND"),
        (text_file, "E-SOURCE-FORMAT"),
        (empty_file, "E-SOURCE-FORMAT"),
        (other_zip, "E-SOURCE-FORMAT"),
        (truncated_archive, "E-SOURCE-FORMAT"),
        (altered_archive, "E-SOURCE-DAMAGED-H5"),
        (truncated_hdf5, "E-SOURCE-DAMAGED-H5"),
        (hdf5_of_something_else, "E-SOURCE-UNREADABLE"),
        (zip_with_wrong_config, "E-SOURCE-UNREADABLE"),
        (weights_alone, "E-SOURCE-WEIGHTS-ONLY"),
        (layers_alone, "E-SOURCE-LAYERS-ONLY"),
        (empty_folder, "E-SOURCE-FORMAT"),
        (folder_with_a_wrong_graph, "E-SOURCE-UNREADABLE"),
    ],
)
def test_what_is_no_model_is_refused_in_one_line(make, code, small_keras, small_h5, tmp_path):
    place = tmp_path / ("folder" if "folder" in make.__name__ else "model.keras")
    if make in (truncated_hdf5, hdf5_of_something_else, weights_alone):
        place = tmp_path / "model.h5"
    make(small_keras, small_h5, place)
    with raises(InputError, code, str(place)) as raised:
        open_model(place)
    assert "\n" not in str(raised.value)
    assert "\x1b" not in str(raised.value)


@pytest.mark.parametrize("source", [3, None, b"model.keras", [1]])
def test_what_is_neither_model_nor_path_is_refused(source):
    with raises(InputError, "E-SOURCE-TYPE", type(source).__name__):
        open_model(source)


def test_code_in_a_file_runs_only_when_trusted(tmp_path):
    x = keras.Input((None, 3), name="x")
    doubled = keras.layers.Lambda(lambda t: t * 2, name="double")(x)
    model = randomised(keras.Model(x, keras.layers.SimpleRNN(4, name="rnn")(doubled)))
    place = tmp_path / "lambda.keras"
    model.save(place)
    with raises(UnsupportedModelError, "E-SOURCE-CODE", "Lambda", "--trust-source"):
        open_model(place)
    assert open_model(place, trust_source=True).model.get_layer("double") is not None


def test_a_class_keras_does_not_have_is_refused(tmp_path):
    class Own(keras.layers.Layer):
        def call(self, x):
            return x

    x = keras.Input((None, 3), name="x")
    place = tmp_path / "own.keras"
    keras.Model(x, keras.layers.SimpleRNN(4)(Own()(x))).save(place)
    with raises(UnsupportedModelError, "E-SOURCE-CLASS", "Own"):
        open_model(place)


def test_a_saved_model_is_opened_as_its_function(tmp_path):
    place = tmp_path / "saved"
    small_model().export(place, verbose=False)
    opened = open_model(place)
    assert isinstance(opened, OpenedSavedModel)
    assert opened.source.kind == "SavedModel"
    (result,) = opened.function(x=np.zeros((2, 3, 3), np.float32)).values()
    assert result.shape == (2, 3, 2)


def test_a_mask_that_keras_3_writes_as_an_operation_is_read_from_an_h5(tmp_path, monkeypatch):
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = keras.layers.Embedding(9, 4, mask_zero=True)(ids)
    both = keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True))(x)
    model = randomised(keras.Model(ids, keras.layers.Dense(2)(both)))
    monkeypatch.setattr(keras.src.saving.saving_api.logging, "warning", lambda *args: None)
    model.save(tmp_path / "m.h5")
    feeds = np.array([[1, 2, 0, 3, 0]], np.int32)
    opened = open_model(tmp_path / "m.h5").model
    np.testing.assert_array_equal(opened(feeds), model(feeds))
