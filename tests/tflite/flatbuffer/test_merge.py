"""Two TFLite models as two signatures of one file."""

import flatbuffers
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tensorflow.lite.python import schema_py_generated as schema

from rnn_deploy.spec import EntryPoint, TensorSpec
from rnn_deploy.tflite.flatbuffer import packing as tflite_packing
from rnn_deploy.tflite.flatbuffer.merge import merged

SHARED = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32) / 8
X = np.random.default_rng(1).standard_normal((2, 64)).astype(np.float32)


def looping(a):
    _, y = tf.while_loop(
        lambda i, y: i < 3, lambda i, y: (i + 1, tf.tanh(y @ SHARED)), [tf.constant(0), a]
    )
    return y


def branching(a):
    positive = tf.reduce_sum(a) > 0
    return tf.cond(positive, lambda: a @ SHARED, lambda: tf.sin(a @ SHARED) * 2.0)


def plain(a):
    return a @ SHARED + 1.0


FUNCTIONS = {"looping": looping, "branching": branching, "plain": plain}


def converted(name):
    """The function as a TFLite file, and its entry point of its name, from "a" to "b"."""
    spec = tf.TensorSpec([2, 64], tf.float32, name="a")
    concrete = tf.function(FUNCTIONS[name], autograph=False).get_concrete_function(spec)
    content = tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()
    a, b = (TensorSpec(end, (2, 64), "float32") for end in "ab")
    return content, EntryPoint(name, (a,), (b,))


@pytest.fixture(scope="module")
def files():
    """Each function as a file of its own."""
    return {name: converted(name) for name in FUNCTIONS}


@pytest.fixture(scope="module")
def alone(files):
    """Each function as a file of its own, with its signature."""
    return {name: merged([file]) for name, file in files.items()}


def ask(content, name, x):
    return Interpreter(model_content=content).get_signature_runner(name)(a=x)["b"]


@pytest.mark.parametrize(
    "order", [("looping", "branching", "plain"), ("plain", "looping"), ("branching", "looping")]
)
def test_every_signature_computes_what_its_own_file_did(files, alone, order):
    whole = merged([files[name] for name in order])
    assert set(Interpreter(model_content=whole).get_signature_list()) == set(order)
    for name in order:
        for x in (X, -X):  # either branch
            found = ask(whole, name, x)
            assert np.array_equal(found, ask(alone[name], name, x))
            np.testing.assert_allclose(found, FUNCTIONS[name](tf.constant(x)), atol=1e-5)


def test_equal_buffers_are_stored_once_and_others_kept(files, alone):
    whole = merged(list(files.values()))
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(whole, 0))
    contents = [bytes(b.data) for b in model.buffers if b.data is not None and len(b.data)]
    assert len(set(contents)) == len(contents)
    assert len(whole) < SHARED.nbytes + 20_000 < sum(map(len, alone.values()))


def test_the_same_files_give_the_same_bytes(files):
    assert merged(list(files.values())) == merged(list(files.values()))
    assert merged([files["plain"]])[4:8] == b"TFL3"


def test_names_are_short_and_only_where_they_help(files):
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(merged([files["looping"]]), 0))
    main, *loops = model.subgraphs
    assert {tensor.name for loop in loops for tensor in loop.tensors} <= {None, b""}
    assert not any(b";" in (tensor.name or b"") for tensor in main.tensors)
    assert [main.tensors[i].name for i in (*main.inputs, *main.outputs)] == [b"a", b"b"]


def starts_of(content):
    """Where in the file each buffer begins."""
    model = schema.Model.GetRootAsModel(content, 0)
    base = np.frombuffer(content, np.uint8).ctypes.data
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    return [b.DataAsNumpy().ctypes.data - base for b in buffers if b.DataLength()]


def test_buffers_stay_aligned(files):
    starts = starts_of(merged(list(files.values())))
    assert starts
    assert {start % 16 for start in starts} == {0}


def test_the_packer_alone_would_not_align_them(files, monkeypatch):
    monkeypatch.setattr(tflite_packing, "_Builder", flatbuffers.Builder)
    assert {start % 16 for start in starts_of(merged(list(files.values())))} != {0}
