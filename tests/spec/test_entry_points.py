"""What an entry point says of its axes, on which batches, chunks and `step` depend."""

from dataclasses import replace

import pytest

from rnn_deploy.spec import EntryPoint, StateSpec, Support, TensorSpec, one_step

F = "float32"
X = TensorSpec("x", ("batch", "time", 3), F)
IDS = TensorSpec("ids", ("batch", "time"), "int32", below=9)
STYLE = TensorSpec("style", ("batch", 2), F)
Y = TensorSpec("y", ("batch", "time", 2), F)
LAST = TensorSpec("last", ("batch", 2), F)
H = StateSpec(TensorSpec("rnn_h_in", ("batch", 4), F), "rnn_h_out", "rnn", "h")
STREAM = EntryPoint("stream", (STYLE, X, IDS), (Y, LAST), (H,), Support(True), Support(True))


@pytest.mark.parametrize(
    ("shape", "admitted"),
    [((1, 1, 3), True), ((7, 9, 3), True), ((7, 9, 2), False), ((9, 3), False), ((), False)],
)
def test_a_tensor_admits_its_rank_and_its_fixed_dimensions(shape, admitted):
    assert X.admits(shape) == admitted


def test_a_tensor_is_written_as_users_read_it():
    assert str(X) == "x float32(batch, time, 3)"


def test_a_state_leaves_with_the_shape_it_enters_by():
    assert H.next_tensor == TensorSpec("rnn_h_out", ("batch", 4), F)
    assert H.key == ("rnn", "h")


def test_states_come_after_inputs_and_outputs():
    assert [tensor.name for tensor in STREAM.all_inputs] == ["style", "x", "ids", "rnn_h_in"]
    assert [tensor.name for tensor in STREAM.all_outputs] == ["y", "last", "rnn_h_out"]


@pytest.mark.parametrize(
    ("inputs", "symbols", "timed"),
    [
        ((STYLE, X, IDS), ("time",), "x"),
        ((IDS, X), ("time",), "ids"),
        ((STYLE,), (), "style"),
        ((replace(X, shape=("batch", 5, 3)), STYLE), (), "x"),
        ((replace(X, shape=("batch", "a", 3)), replace(IDS, shape=("batch", "b"))), "ab", "x"),
        ((TensorSpec("flat", ("batch",), F), X), ("time",), "x"),
    ],
)
def test_the_number_of_steps_is_told_by_the_input_that_leaves_it_open(inputs, symbols, timed):
    entry = EntryPoint("sequence", inputs, (LAST,))
    assert entry.time_symbols == tuple(symbols)
    assert entry.timed == timed


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, None),
        ({"inputs": (replace(X, shape=(1, "time", 3)),)}, "'x'"),
        ({"states": (replace(H, tensor=replace(H.tensor, shape=(1, 4))),)}, "'rnn_h_in'"),
        ({"outputs": (replace(Y, shape=("time", "batch", 2)),)}, "'y'"),
        ({"outputs": (replace(Y, shape=()),)}, "'y'"),
        ({"rows": Support(False, "a mean over the batch")}, "a mean over the batch"),
    ],
)
def test_why_a_batch_cannot_be_cut(change, named):
    why = replace(STREAM, **change).why_one_batch
    assert why is None if named is None else named in why


def test_the_step_is_the_stream_with_one_step_under_the_same_names():
    step = one_step(STREAM)
    assert step.name == "step"
    assert [t.shape for t in step.inputs] == [("batch", 2), ("batch", 1, 3), ("batch", 1)]
    assert [t.shape for t in step.outputs] == [("batch", 1, 2), ("batch", 2)]
    assert step.states == STREAM.states
    assert [t.name for t in step.inputs] == [t.name for t in STREAM.inputs]
    assert step.inputs[2].below == 9
