"""A file in which what is alike is written once says what a file of copies would say."""

import copy

import flatbuffers
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tensorflow.lite.python import schema_py_generated as schema

from rnn_deploy.tflite.flatbuffer.merge import unpacked
from rnn_deploy.tflite.flatbuffer.packing import IDENTIFIER, packed


def with_copies(model):
    """As the schema's own packer writes it."""
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


@pytest.fixture(scope="module")
def content():
    """Twenty steps that are alike, written out, and as many in a loop."""
    weights = np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32) / 2

    def steps(h):
        for _ in range(20):
            h = tf.tanh(h @ weights) * tf.constant(0.5)
        return h

    def function(h):
        i, h = tf.while_loop(lambda i, h: i < 3, lambda i, h: (i + 1, steps(h)), [0, steps(h)])
        return h + tf.cast(i, tf.float32)

    spec = tf.TensorSpec([None, 3], tf.float32)
    concrete = tf.function(function, autograph=False).get_concrete_function(spec)
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())


@pytest.fixture
def model(content):
    """The same without names, in object form."""
    model = unpacked(content)
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.name = None
    return model


def test_nothing_is_lost_but_a_quarter_of_the_file(model):
    whole = packed(model)
    assert with_copies(unpacked(whole)) == with_copies(model)
    assert len(whole) < 0.75 * len(with_copies(model))


def test_packing_leaves_the_model_as_it_was(model):
    before = with_copies(model)
    packed(model)
    assert with_copies(model) == before


@pytest.mark.parametrize("file", [packed, with_copies])
def test_the_interpreter_reads_either(content, model, file):
    x = np.random.default_rng(1).standard_normal((2, 3)).astype(np.float32)
    assert np.array_equal(answered(file(model), x), answered(content, x))


def answered(content, x):
    interpreter = Interpreter(model_content=content)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def scaled(scale):
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = np.float32([scale]), np.int64([0])
    return quantization


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("type", (schema.TensorType.FLOAT32, schema.TensorType.INT32)),
        ("shape", (np.int32([1, 2]), np.int32([2, 1]))),
        ("shapeSignature", (np.int32([-1, 3]), None)),
        ("buffer", (0, 1)),
        ("isVariable", (True, False)),
        ("quantization", (scaled(0.5), scaled(0.25))),
        ("name", (b"a", b"b")),
    ],
)
def test_tensors_that_differ_in_one_thing_stay_two(model, field, values):
    graph = model.subgraphs[0]
    last = len(graph.tensors)
    for value in values:
        tensor = copy.copy(graph.tensors[0])
        setattr(tensor, field, value)
        graph.tensors.append(tensor)
    found = unpacked(packed(model)).subgraphs[0].tensors[last:]
    assert len(found) == 2
    for tensor, value in zip(found, values, strict=True):
        kept = getattr(tensor, field)
        assert np.array_equal(getattr(kept, "scale", kept), getattr(value, "scale", value))


@pytest.mark.parametrize("alphas", [(0.5, 0.5), (0.5, 0.25)])
def test_options_that_differ_stay_two(model, alphas):
    operators = model.subgraphs[0].operators[:2]
    for operator, alpha in zip(operators, alphas, strict=True):
        operator.builtinOptionsType = schema.BuiltinOptions.LeakyReluOptions
        operator.builtinOptions = schema.LeakyReluOptionsT()
        operator.builtinOptions.alpha = alpha
    found = unpacked(packed(model)).subgraphs[0].operators[:2]
    assert [operator.builtinOptions.alpha for operator in found] == list(alphas)
