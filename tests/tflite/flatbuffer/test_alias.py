"""Loops that write their outputs where they stay: what is named alike, and the values."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from tensorflow.lite.python import schema_py_generated as schema

from rnn_deploy.tflite import writer as tflite
from rnn_deploy.tflite.flatbuffer.alias import written_apart, written_in_place
from rnn_deploy.tflite.flatbuffer.merge import unpacked
from tests.support.models import randomised
from tests.support.tflite_files import OPTIONS, assert_same, compared, feeds_for, parts_for

layers = keras.layers
CHUNK = 8
MANY = [(9, 1), (9, 2), (9, 30)]
EDGES = [(2, t) for t in (1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, 100)]
LAYERS = {
    "in-the-products": lambda: layers.SimpleRNN(4, name="rnn", **OPTIONS),
    "backwards": lambda: layers.SimpleRNN(4, name="rnn", go_backwards=True, **OPTIONS),
    "last": lambda: layers.LSTM(4, name="rnn"),
    "gru": lambda: layers.GRU(4, name="rnn", go_backwards=True, reset_after=False, **OPTIONS),
    # Of more than eight sequences, their products are made step by step.
    "narrow": lambda: layers.LSTM(96, name="rnn", **OPTIONS),
    "narrow-last": lambda: layers.GRU(160, name="rnn", go_backwards=True),
}


def model_of(make, time=None, batch=None):
    x = keras.Input((time, 3), batch_size=batch, name="x")
    return randomised(keras.Model(x, make()(x), name="mine"), scale=0.2)


def loops_of(content):
    """Each WHILE with its condition and body."""
    model = unpacked(content)
    for graph in model.subgraphs:
        for operator in graph.operators:
            options = operator.builtinOptions
            if isinstance(options, schema.WhileOptionsT):
                graphs = (options.condSubgraphIndex, options.bodySubgraphIndex)
                yield operator, *(model.subgraphs[i] for i in graphs)


@pytest.mark.parametrize("name", LAYERS)
def test_values_are_right_about_the_edges_of_chunks(name):
    choices = compared(model_of(LAYERS[name]), "inplace", [*EDGES, *MANY])
    assert {choice.lowering for choice in choices["stream"]} == {"inplace"}


@pytest.mark.parametrize("batch", [None, 1, 2])
@pytest.mark.parametrize("steps", [3, 16, 21, 67])
def test_fixed_sizes_are_right(steps, batch):
    model = model_of(lambda: layers.GRU(4, name="rnn", **OPTIONS), steps, batch)
    compared(model, "inplace", [(batch or 3, steps)])


@pytest.mark.parametrize("batch", [None, 1, 7])
def test_fixed_sizes_of_a_wide_layer_are_right(batch):
    model = model_of(LAYERS["narrow"], 21, batch)
    compared(model, "inplace", [(batch or 3, 21), (batch or 9, 21)])


def test_the_buffer_is_taken_and_given_twice_under_one_name():
    content = tflite.convert(model_of(LAYERS["gru"]), parts_for(model_of(LAYERS["gru"])))
    loops = list(loops_of(content))
    assert len(loops) == 4  # singles and chunks, of two signatures
    for loop, condition, body in loops:
        given = list(loop.outputs)
        first = given.index(given[-1])
        assert first < len(given) - 1
        assert body.inputs[-1] == body.outputs[-1] == body.outputs[first] != body.inputs[first]
        assert loop.inputs[-1] == loop.inputs[first]
        sizes = {len(t) for t in (loop.inputs, given, condition.inputs, body.inputs, body.outputs)}
        assert sizes == {len(given)}


def test_where_nothing_is_kept_nothing_is_named_alike():
    model = model_of(LAYERS["last"])
    content = tflite.convert(model, parts_for(model))
    assert all(len(set(loop.outputs)) == len(loop.outputs) for loop, *_ in loops_of(content))


@pytest.mark.parametrize("name", ["in-the-products", "gru"])
def test_the_plain_form_comes_back_and_gives_the_same_numbers(name):
    model = model_of(LAYERS[name])
    parts = parts_for(model)
    content = tflite.convert(model, parts)
    plain = written_apart(content)
    assert all(len(set(loop.outputs)) == len(loop.outputs) for loop, *_ in loops_of(plain))
    assert written_apart(plain) is plain
    again = written_in_place(plain)
    shape = [[list(o.outputs) for o in g.operators] for g in unpacked(content).subgraphs]
    assert [[list(o.outputs) for o in g.operators] for g in unpacked(again).subgraphs] == shape
    for part in parts[:2]:
        feeds = feeds_for(part.entry, 3, 37)
        here, there = (
            Interpreter(model_content=file).get_signature_runner(part.entry.name)(**feeds)
            for file in (content, plain)
        )
        assert all(np.array_equal(here[key], there[key]) for key in here)


def test_outputs_that_nobody_reads_harm_nobody():
    """TFLite keeps no memory for what a WHILE gives in vain, and the two layers' zeros are one."""
    x = keras.Input((None, 3), name="x")
    _, h, c = layers.LSTM(4, name="unread", **OPTIONS)(x)
    y = layers.LSTM(4, name="read", return_sequences=True)(x)
    model = randomised(keras.Model(x, [h, c, y], name="mine"), scale=0.3)
    compared(model, "inplace", [(2, 3), (3, 25), (1, 8)])


def test_nothing_stays_from_one_call_to_the_next():
    model = model_of(LAYERS["in-the-products"])
    part = parts_for(model)[1]
    interpreter = Interpreter(model_content=tflite.convert(model, [part]))
    runner = interpreter.get_signature_runner("stream")
    for steps in (20, 20, 7, 33, 20):
        feeds = feeds_for(part.entry, 2, steps)
        fresh = Interpreter(model_content=tflite.convert(model, [part])).get_signature_runner()
        assert_same(runner(**feeds), {k: v.copy() for k, v in fresh(**feeds).items()})


def test_a_loop_in_blocks_in_the_same_file_is_right():
    x = keras.Input((None, 3), name="x")
    y = layers.GRU(4, name="blocks", return_sequences=True)(x)
    y = layers.LSTM(4, name="rnn", return_sequences=True, go_backwards=True)(y)
    model = randomised(keras.Model(x, y, name="mine"), scale=0.3)
    choices = compared(model, {"blocks": "loop", "rnn": "inplace"}, [(2, 1), (2, 9), (3, 300)])
    assert [choice.lowering for choice in choices["stream"]] == ["loop", "inplace"]
