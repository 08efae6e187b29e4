"""A model read once for several exports: each is the one it would be alone."""

import re

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf

from rnn_deploy.bundle.store import MANIFEST
from rnn_deploy.conformance.custom_cells import CELLS
from rnn_deploy.exporting.pipeline import export
from rnn_deploy.exporting.reading import ModelReader
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.references.reference import Reference
from tests.support.models import randomised

FORMS = (
    {"to": ("onnx", "tflite")},
    {"to": ("onnx",), "lowering": "scan"},
    {"to": ("onnx",), "lowering": "unrolled", "time": 4},
    {"to": ("onnx",), "seed": 1},
    {"to": ("onnx",), "state": "reset"},
    {"to": ("onnx",), "samples": {"x": np.ones((2, 3, 3), np.float32)}},
)


def model():
    x = y = keras.Input((None, 3), name="x")
    y = keras.layers.GRU(4, return_sequences=True, activation="mish", name="known")(y)
    own = keras.layers.RNN(CELLS["peephole"](2, name="cell"), return_sequences=True, name="own")
    return randomised(keras.Model(x, own(y), name="read"))


def contents(root):
    """Every file but the manifest, which holds hashes; ONNX as text.

    tf2onnx numbers the lengths it does not know through all that a process converts.
    """
    return {
        place.name: re.sub(r"unk__\d+", "unk", onnx.printer.to_text(onnx.load(place)))
        if place.suffix == ".onnx"
        else place.read_bytes()
        for place in root.iterdir()
        if place.name != MANIFEST
    }


@pytest.fixture(scope="module")
def reader():
    return ModelReader(model())


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_form_is_the_one_it_is_alone(form, reader, tmp_path):
    options = ExportOptions(long=0, **form)
    shared = export(reader.model, tmp_path / "shared", options, reader=reader)
    alone = export(reader.model, tmp_path / "alone", options)
    assert contents(shared.root) == contents(alone.root)


def test_the_references_are_traced_once_for_all_forms(tmp_path, monkeypatch):
    traced = []
    seen = Reference._seen
    monkeypatch.setattr(Reference, "_seen", lambda r, *x: traced.append(r.dtype) or seen(r, *x))
    reader = ModelReader(model())
    for number, form in enumerate(FORMS[1:4]):
        options = ExportOptions(long=0, **form)
        export(reader.model, tmp_path / str(number), options, reader=reader)
    assert sorted(traced) == ["float32", "float64"]


class Float32Only(keras.layers.Layer):
    """Multiplies by a constant that is made in its call, in float32."""

    def call(self, x):
        return x * tf.constant(0.5)


class WithoutFloat64(keras.layers.Layer):
    """An operation that TensorFlow has no float64 form of."""

    def call(self, x):
        return tf.nn.local_response_normalization(x)


@pytest.mark.parametrize(
    "stack",
    [
        [Float32Only(name="scale")],
        [keras.layers.Reshape((6, 1, 3)), WithoutFloat64(), keras.layers.Reshape((6, 3))],
    ],
)
def test_a_model_without_a_float64_form_is_judged_by_the_reference(stack):
    x = y = keras.Input((6, 3), name="x")
    for layer in (*stack, keras.layers.GRU(4, return_sequences=True)):
        y = layer(y)
    read = ModelReader(randomised(keras.Model(x, y))).read(ExportOptions(long=0), lambda _: None)
    assert read.references.oracle is None
    assert all(not case.oracle for case in read.cases)
    assert any("float64 oracle" in note for note in read.plan.notes)
    assert read.plan.stream is None or read.plan.stream.entry.chunked.ok
