"""The model's graph with markers where its loops were."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras.probing import output_specs
from rnn_deploy.keras.rewrites import InputFacts
from rnn_deploy.keras.signature import signature_of
from rnn_deploy.keras.tracing import MARKER, trace_markers, with_facts
from tests.support.errors import raises
from tests.support.models import randomised, small_model, token_model

layers = keras.layers


def nodes_of(trace):
    return list(trace.graph.graph.as_graph_def().node)


def test_a_marker_stands_for_each_loop_and_nothing_of_the_loop_is_left():
    model = small_model()
    trace = trace_markers(model, signature_of(model))
    nodes = nodes_of(trace)
    tokens = [n.attr["token"].s.decode() for n in nodes if n.op == "PyFuncStateless"]
    assert tokens == [f"{MARKER}:0", f"{MARKER}:1"]
    assert [layer.name for layer in trace.layers] == ["first", "second"]
    assert not {"While", "StatelessWhile", "TensorListReserve"} & {n.op for n in nodes}
    assert len(trace.graph.graph.as_graph_def().library.function) == 0


def test_recurrent_weights_never_enter_the_graph():
    x = keras.Input((None, 3), name="x")
    model = randomised(keras.Model(x, layers.SimpleRNN(300, name="rnn")(x)))
    trace = trace_markers(model, signature_of(model))
    assert trace.graph.graph.as_graph_def().ByteSize() < 20_000
    assert trace.layers[0].recurrent_kernel.nbytes > 300_000


def test_a_product_with_a_sequence_stays_one_product():
    model = small_model()
    operators = [n.op for n in nodes_of(trace_markers(model, signature_of(model)))]
    assert sum(op in ("BatchMatMulV2", "MatMul") for op in operators) == 1
    assert "Reshape" not in operators


def test_tracing_leaves_tensorflow_and_keras_as_they_were():
    model = small_model()
    before = (tf.tensordot, layers.RNN.call, layers.Embedding.call, model.dtype_policy)
    trace_markers(model, signature_of(model))
    x = keras.Input((None, 3), name="x")
    odd = keras.Model(x, layers.SimpleRNN(2, name="schön")(layers.Masking()(x)))
    with raises(UnsupportedModelError, "E-MODEL-TRACE", "schön"):
        trace_markers(odd, signature_of(odd))
    assert (tf.tensordot, layers.RNN.call, layers.Embedding.call, model.dtype_policy) == before


@pytest.mark.parametrize("dtype", ["int32", "float32", "int64"])
def test_tokens_are_known_by_the_embedding_they_reach(dtype):
    ids = keras.Input((None,), dtype=dtype, name="ids")
    wide, narrow = layers.Embedding(9, 3)(ids), layers.Embedding(7, 3)(ids)
    model = keras.Model(ids, layers.SimpleRNN(4)(wide + narrow))
    signature = signature_of(model)
    trace = trace_markers(model, signature)
    assert dict(trace.facts) == {"ids": InputFacts(below=7)}
    assert with_facts(signature, trace).inputs[0].below == 7


@pytest.mark.parametrize(
    ("layer", "dtype", "padding"),
    [
        (lambda: layers.Masking(-1.5), "float32", -1.5),
        (lambda: layers.Embedding(9, 3, mask_zero=True), "int32", 0.0),
        (lambda: layers.Embedding(9, 3), "int32", None),
    ],
)
def test_padding_is_known_by_the_layer_that_makes_the_mask(layer, dtype, padding):
    x = keras.Input((None, 3) if dtype == "float32" else (None,), dtype=dtype, name="x")
    model = keras.Model(x, layers.SimpleRNN(4)(layer()(x)))
    signature = signature_of(model)
    trace = trace_markers(model, signature)
    assert with_facts(signature, trace).inputs[0].padding == padding
    assert trace.layers[0].masked == (padding is not None)


def test_tokens_that_are_shifted_first_are_not_taken_for_ids():
    ids = keras.Input((None,), dtype="int32", name="ids")
    model = keras.Model(ids, layers.SimpleRNN(4)(layers.Embedding(9, 3)(ids + 1)))
    assert not trace_markers(model, signature_of(model)).facts


def test_output_dimensions_are_named_after_the_inputs_they_follow():
    a, b = keras.Input((None, 3), name="a"), keras.Input((None, 2), name="b")
    sequence = layers.SimpleRNN(4, return_sequences=True)
    outputs = [
        sequence(a),
        layers.SimpleRNN(5)(b),
        layers.Concatenate(axis=1, name="joined")([layers.Dense(2)(a), b]),
        layers.Dense(2)(b),
    ]
    model = keras.Model([a, b], outputs)
    specs, _ = output_specs(model, trace_markers(model, signature_of(model)))
    assert [spec.shape for spec in specs] == [
        ("batch", "a_time", 4),
        ("batch", 5),
        ("batch", "joined_axis1", 2),
        ("batch", "b_time", 2),
    ]
    assert {spec.dtype for spec in specs} == {"float32"}


def test_probing_a_wide_open_model_costs_no_memory():
    x = keras.Input((None, None, None, 3), name="x")
    model = randomised(keras.Model(x, layers.Dense(2, name="y")(x)))
    (spec,), _ = output_specs(model, trace_markers(model, signature_of(model)))
    assert spec.shape == ("batch", "time", "x_axis2", "x_axis3", 2)


def test_a_call_that_no_output_depends_on_is_told_apart():
    x = keras.Input((None, 3), name="x")
    both = [layers.GRU(4, name="used")(x), layers.LSTM(4, name="dead")(x)]
    inner = keras.Model(x, both[::-1])
    outer = keras.Input((None, 3), name="outer")
    model = keras.Model(outer, inner(outer)[1])
    trace = trace_markers(model, signature_of(model))
    assert [layer.name for layer in trace.layers] == ["used"]
    assert trace.unused == ("dead",)


def test_sequences_that_are_no_floats_reach_the_marker_as_float32():
    x = keras.Input((None, 3), dtype="bool", name="x")
    model = keras.Model(x, layers.SimpleRNN(4)(x))
    trace = trace_markers(model, signature_of(model))
    (marker,) = [n for n in nodes_of(trace) if n.op == "PyFuncStateless"]
    assert marker.attr["Tin"].list.type == [tf.float32.as_datatype_enum]


def test_a_name_tensorflow_cannot_hold_is_said_in_one_line():
    x = keras.Input((None, 3), name="x")
    model = keras.Model(x, layers.SimpleRNN(4, name="schön")(x), name="mine")
    with raises(UnsupportedModelError, "E-MODEL-TRACE", "'mine'", "layer 'schön'", "x") as raised:
        trace_markers(model, signature_of(model))
    assert "\n" not in str(raised.value)
    assert "\x1b" not in str(raised.value)


def test_the_vocabulary_of_a_model_in_a_model_is_found():
    ids = keras.Input((None,), dtype="int32", name="outer")
    model = keras.Model(ids, token_model()(ids))
    assert dict(trace_markers(model, signature_of(model)).facts) == {"outer": InputFacts(below=7)}
    assert np.array_equal(
        trace_markers(model, signature_of(model)).layers[0].kernel,
        token_model().get_layer("rnn").get_weights()[0],
    )
