"""How many nodes a model may become, those of subgraphs counted."""

import keras
import onnx
import pytest

import rnn_deploy
from tests.support.models import randomised

LAYERS = keras.layers


def model_of(*stack, shape=(None, 3), dtype="float32"):
    x = y = keras.Input(shape, name="x", dtype=dtype)
    for layer in stack:
        y = layer(y)
    return randomised(keras.Model(x, y), scale=0.3)


def nodes_in(graph):
    inner = (a.g for node in graph.node for a in node.attribute if a.HasField("g"))
    return len(graph.node) + sum(map(nodes_in, inner))


def rnn(units, **options):
    return LAYERS.SimpleRNN(units, return_sequences=True, **options)


BUDGETS = {
    "SimpleRNN and Dense": (6, lambda: model_of(rnn(4), LAYERS.Dense(2))),
    "GRU": (4, lambda: model_of(LAYERS.GRU(4, return_sequences=True))),
    "three stacked and Dense": (10, lambda: model_of(rnn(4), rnn(5), rnn(6), LAYERS.Dense(2))),
    "Bidirectional LSTM": (
        4, lambda: model_of(LAYERS.Bidirectional(LAYERS.LSTM(4, return_sequences=True))),
    ),
    "Bidirectional LSTM, last": (4, lambda: model_of(LAYERS.Bidirectional(LAYERS.LSTM(4)))),
    "a list of cells": (
        8, lambda: model_of(LAYERS.RNN([LAYERS.GRUCell(4), LAYERS.LSTMCell(3)],
                                       return_sequences=True)),
    ),
    "TimeDistributed Dense": (
        7, lambda: model_of(rnn(4), LAYERS.TimeDistributed(LAYERS.Dense(2))),
    ),
    "Embedding with a mask, LSTM": (
        30, lambda: model_of(LAYERS.Embedding(9, 4, mask_zero=True), LAYERS.LSTM(4),
                             shape=(None,), dtype="int32"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BUDGETS)
def test_a_model_keeps_to_its_budget(tmp_path, name):
    most, build = BUDGETS[name]
    rnn_deploy.export(build(), tmp_path / "b", to=("onnx",), long=0)
    graph = onnx.load(tmp_path / "b" / "sequence.onnx").graph
    assert nodes_in(graph) <= most, [node.op_type for node in graph.node]
