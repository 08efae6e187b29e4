import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_deploy.errors import InputError
from rnn_deploy.spec import EntryPoint, TensorSpec, chunks
from tests.support.errors import raises

F = "float32"
ENTRY = EntryPoint(
    "stream",
    (
        TensorSpec("x", ("batch", "time", 2), F),
        TensorSpec("ids", ("batch", "time"), "int32"),
        TensorSpec("style", ("batch", 3), F),
    ),
    (TensorSpec("each", ("batch", "time", 2), F), TensorSpec("last", ("batch", 2), F)),
)


def _feeds(batch, time):
    rng = np.random.default_rng(time)
    return {
        "x": rng.standard_normal((batch, time, 2)).astype(F),
        "ids": rng.integers(0, 9, (batch, time)).astype("int32"),
        "style": rng.standard_normal((batch, 3)).astype(F),
    }


def _results(feeds):
    return {"each": feeds["x"], "last": feeds["x"][:, -1], "h_out": feeds["style"]}


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_cut_and_joined_is_the_whole(lengths, batch):
    feeds = _feeds(batch, sum(lengths))
    pieces = list(chunks.cut(ENTRY, feeds, lengths))
    assert [piece["x"].shape[1] for piece in pieces] == lengths
    assert [piece["ids"].shape[1] for piece in pieces] == lengths
    assert all(piece["style"] is feeds["style"] for piece in pieces)
    joined = chunks.joined(ENTRY, [_results(piece) for piece in pieces])
    assert list(joined) == ["each", "last"]
    np.testing.assert_array_equal(joined["each"], feeds["x"], strict=True)
    np.testing.assert_array_equal(joined["last"], feeds["x"][:, -1], strict=True)


@given(st.integers(1, 50), st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_equal_lengths_make_up_the_total_and_only_the_last_is_shorter(total, chunk):
    lengths = chunks.equal_lengths(total, chunk)
    assert sum(lengths) == total
    assert set(lengths[:-1]) <= {chunk}
    assert 1 <= lengths[-1] <= chunk


def test_initial_states_are_not_cut():
    feeds = _feeds(1, 4) | {"h_in": np.ones((1, 5), F)}
    assert all(set(piece) == {"x", "ids", "style"} for piece in chunks.cut(ENTRY, feeds, [2, 2]))


def test_the_length_is_that_of_the_time_axis():
    assert chunks.length_of(ENTRY, _feeds(3, 7)) == 7


@pytest.mark.parametrize("lengths", [[], [3], [3, 3], [5, 0], [-2, 7]])
def test_lengths_that_do_not_make_up_the_whole_are_refused(lengths):
    with raises(InputError, "E-INPUT-CHUNK-LENGTHS", str(lengths), "5"):
        list(chunks.cut(ENTRY, _feeds(1, 5), lengths))


@pytest.mark.parametrize(
    "shapes",
    [
        [("batch", 4, 2)],
        [("batch",)],
        [("batch", "a_time", 2), ("batch", "b_time", 2)],
    ],
)
def test_an_entry_point_without_one_time_axis_cannot_be_cut(shapes):
    inputs = tuple(TensorSpec(f"x{i}", shape, F) for i, shape in enumerate(shapes))
    entry = EntryPoint("stream", inputs, ())
    for cut in (
        lambda: chunks.length_of(entry, {}),
        lambda: list(chunks.cut(entry, {}, [1])),
        lambda: chunks.joined(entry, []),
    ):
        with raises(InputError, "E-INPUT-NO-CHUNKS", "'stream'"):
            cut()
