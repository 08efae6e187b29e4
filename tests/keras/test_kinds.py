"""What a file is, and which Keras wrote it, is read from its content."""

import json

import h5py
import numpy as np
import pytest

from rnn_deploy.errors import InputError
from rnn_deploy.keras.kinds import ARCHIVE, CHECKPOINT, H5, JSON, WEIGHTS, ModelFile, model_file
from tests.support.errors import raises


@pytest.mark.parametrize(
    ("version", "words", "old"),
    [
        ("1.2.2", "Keras 1.2.2", True),
        ("2.2.4-tf", "tf.keras 2.2.4", True),
        ("2.21.0", "Keras 2.21.0", True),
        ("3.10.0", "Keras 3.10.0", False),
        ("", "Keras before 1.1", True),
        (None, "an unknown version of Keras", False),
        ("2", "Keras 2", True),
        ("20.0", "Keras 20.0", False),
    ],
)
def test_a_version_is_said_in_words(tmp_path, version, words, old):
    file = ModelFile(tmp_path, H5, version)
    assert (file.written_by, file.is_of_keras_2) == (words, old)


@pytest.mark.parametrize(
    ("attributes", "groups", "kind", "version"),
    [
        ({"model_config": "{}", "keras_version": "2.2.4"}, [], H5, "2.2.4"),
        ({"model_config": "{}"}, [], H5, ""),
        ({"layer_names": [b"a"], "keras_version": b"2.1.0"}, ["a"], WEIGHTS, "2.1.0"),
        ({"layer_names": [b"a"]}, ["a"], WEIGHTS, ""),
        ({}, ["layers"], WEIGHTS, None),
    ],
)
def test_an_hdf5_file(tmp_path, attributes, groups, kind, version):
    place = tmp_path / "file"
    with h5py.File(place, "w") as file:
        for name, value in attributes.items():
            file.attrs[name] = np.array(value) if isinstance(value, list) else value
        for name in groups:
            file.create_group(name)
    assert model_file(place) == ModelFile(place, kind, version)


@pytest.mark.parametrize(
    ("content", "version"),
    [
        ({"class_name": "Sequential", "config": [], "keras_version": "1.2.0"}, "1.2.0"),
        ({"class_name": "Sequential", "config": {}, "module": "keras"}, "3"),
        ({"name": "m", "layers": [{"config": {"batch_shape": [None, 3]}}]}, "3"),
        ({"name": "m", "layers": [{"config": {"batch_input_shape": [None, 3]}}]}, None),
        (json.dumps({"class_name": "Model", "keras_version": "2.2.4"}), "2.2.4"),
    ],
)
def test_layers_as_json(tmp_path, content, version):
    place = tmp_path / "model.json"
    place.write_text(json.dumps(content))
    if isinstance(content, str):  # a text within a text begins with a quote
        place.write_text(content)
    assert model_file(place) == ModelFile(place, JSON, version)


@pytest.mark.parametrize("given", ["w.ckpt", "w.ckpt.index", "w.ckpt.data-00000-of-00001", ""])
def test_a_checkpoint_by_its_prefix_by_one_of_its_files_and_by_its_folder(tmp_path, given):
    (tmp_path / "w.ckpt.index").write_bytes(b"layer_with_weights-0/kernel")
    (tmp_path / "w.ckpt.data-00000-of-00001").touch()
    place = tmp_path / given if given else tmp_path
    assert model_file(place) == ModelFile(tmp_path / "w.ckpt", CHECKPOINT, "2-tf")


def test_an_archive_that_was_unpacked(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "metadata.json").write_text('{"keras_version": "2.15.0"}')
    assert model_file(tmp_path) == ModelFile(tmp_path, ARCHIVE, "2.15.0")


@pytest.mark.parametrize(
    ("name", "word"),
    [("m.yaml", "--weights"), ("m.pb", "folder"), ("m.pkl", "Python"), ("m.onnx", "compare")],
)
def test_other_files_are_refused_with_a_step(tmp_path, name, word):
    (tmp_path / name).write_bytes(b"something")
    with raises(InputError, "E-SOURCE-FORMAT", name, word):
        model_file(tmp_path / name)
