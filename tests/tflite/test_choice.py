"""Which TFLite lowering a layer gets, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.spec import RecurrentLayer, TracedLayer
from rnn_deploy.tflite import inplace as tflite_inplace
from rnn_deploy.tflite import loop as tflite_loop
from rnn_deploy.tflite.choice import choices_of
from rnn_deploy.tflite.format import LOOP, LOWERINGS, TfliteLoweringRequest
from tests.support.errors import raises

RNN = RecurrentLayer(
    name="rnn", cell="simple_rnn", units=4, go_backwards=False, return_sequences=True, steps=None,
    initial_state=False, kernel=np.ones((3, 4), "f"), recurrent_kernel=np.ones((4, 4), "f"),
    bias=None, activation="tanh",
)  # fmt: skip
GRU = replace(RNN, cell="gru", recurrent_activation="sigmoid", name="gru")
LSTM = replace(RNN, cell="lstm", recurrent_activation="sigmoid", name="lstm")
OWN = TracedLayer(
    name="own", cell="Echo", units=4, go_backwards=False, return_sequences=True, steps=None,
    initial_state=False, step=None, width=(3,),
)  # fmt: skip


def chosen(layer, lowering="auto", entry="sequence"):
    (choice,) = choices_of([layer], TfliteLoweringRequest.read(lowering), entry)
    return choice


@pytest.mark.parametrize(
    ("layer", "lowering", "why"),
    [
        (RNN, "inplace", "number of steps is open"),
        (replace(RNN, steps=1), "unrolled", "1 step written out"),
        (replace(RNN, steps=50), "unrolled", "50 steps written out"),
        (replace(RNN, steps=65), "inplace", "more than 64 steps"),
        (replace(OWN, steps=20), "unrolled", "20 steps written out"),
        (
            replace(RNN, steps=50, recurrent_kernel=np.ones((256, 256), "f")),
            "inplace",
            "12.5 MiB of weights, packed for each step",
        ),
    ],
)
def test_auto_goes_by_length_and_size_and_says_why(layer, lowering, why):
    choice = chosen(layer)
    assert choice.lowering == lowering
    assert why in choice.reason


@pytest.mark.parametrize(
    ("layer", "lowering"),
    [
        (replace(RNN, units=32), "fused"),
        (replace(RNN, units=33), "inplace"),
        (replace(LSTM, units=16), "fused"),
        (replace(LSTM, units=17), "inplace"),
        (replace(RNN, masked=True), "inplace"),
        (replace(RNN, activation="elu"), "inplace"),
        (replace(RNN, steps=5), "unrolled"),
        (GRU, "inplace"),
        (OWN, "inplace"),
    ],
)
def test_one_sequence_through_few_units_is_one_operator(layer, lowering):
    (choice,) = choices_of([layer], TfliteLoweringRequest(), "stream", alone=True)
    assert choice.lowering == lowering
    assert ("for one sequence and few units" in choice.reason) == (lowering == "fused")
    (batched,) = choices_of([layer], TfliteLoweringRequest(), "stream")
    assert batched.lowering != "fused"


def test_an_interpreter_that_copies_gets_a_loop_in_blocks():
    (choice,) = choices_of([RNN], TfliteLoweringRequest(), "sequence", loop=LOOP)
    assert choice.lowering == "loop"
    (short,) = choices_of([replace(RNN, steps=5)], TfliteLoweringRequest(), "sequence", loop=LOOP)
    assert short.lowering == "unrolled"


@pytest.mark.parametrize(
    ("lowering", "by_units", "by_steps"),
    [
        (tflite_loop, [10, 10, 5, 2, 1], [1, 3, 7, 8, 6]),
        (tflite_inplace, [8, 1, 1, 1, 1], [1, 3, 7, 8, 5]),
    ],
)
def test_a_turn_takes_fewer_steps_where_weights_are_large_and_so_many_that_few_are_left(
    lowering, by_units, by_steps
):
    def of(units, steps=None):
        square = np.ones((units, units), "f")
        return lowering.chunk_of(replace(RNN, recurrent_kernel=square, steps=steps))

    assert [of(units) for units in (64, 256, 300, 1200, 2048)] == by_units
    assert [of(64, n) for n in (1, 3, 21, 64, 101)] == by_steps


@pytest.mark.parametrize(
    ("layer", "lowering", "names"),
    [
        (GRU, "fused", ["gru"]),
        (OWN, "fused", ["Echo"]),
        (replace(RNN, masked=True), "fused", ["UNIDIRECTIONAL_SEQUENCE_RNN", "masks"]),
        (replace(RNN, activation="gelu"), "fused", ["'gelu'", "tanh, relu"]),
        (replace(LSTM, recurrent_activation="tanh"), "fused", ["sigmoid", "'tanh'"]),
        (RNN, "unrolled", ["--time N"]),
        (replace(RNN, steps=1000), "unrolled", ["1000", "256"]),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(layer, lowering, names):
    found = (f"'{layer.name}'", f"'{lowering}'", *names)
    with raises(UnsupportedModelError, "E-MODEL-LOWERING", *found):
        chosen(layer, lowering)


def test_a_stream_is_not_unrolled_and_says_so():
    choice = chosen(RNN, "unrolled", "stream")
    assert choice.lowering == "inplace"
    assert choice.reason.startswith("not unrolled, since a chunk may have any length; ")


def test_lowerings_are_requested_by_layer():
    found = choices_of(
        [RNN, LSTM, GRU], TfliteLoweringRequest.read({"lstm": "fused", "*": "loop"}), "stream"
    )
    assert [choice.lowering for choice in found] == ["loop", "fused", "loop"]
    assert found[0].reason.startswith("requested; ")


def test_names_that_there_are_not_are_refused():
    with raises(InputError, "E-EXPORT-LOWERING-UNKNOWN", "scan", "auto", *LOWERINGS):
        TfliteLoweringRequest("scan")
    with raises(InputError, "E-EXPORT-LAYER-UNKNOWN", "'x'", "rnn"):
        choices_of([RNN], TfliteLoweringRequest.read({"x": "loop"}), "sequence")
