"""Streams over a runner whose answers are exact: y is the running sum of x, h its last value."""

import copy
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.state_files import StateOwner, write_states
from rnn_deploy.errors import InputError
from rnn_deploy.inference.stream import Stream, run_in_chunks
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.fake import FakeRunner
from rnn_deploy.runtimes.registry import RUNTIMES
from rnn_deploy.spec import EntryPoint, StateSpec, Support, TensorSpec
from tests.support.errors import raises

F = "float32"
OWNER = StateOwner("weights", "stream", "bundle")
X, Y = (TensorSpec(name, ("batch", "time", 3), F) for name in "xy")
LAST = TensorSpec("last", ("batch", 3), F)
H = StateSpec(TensorSpec("h_in", ("batch", 3), F), "h_out", "sum", "h")
ENTRY = EntryPoint("stream", (X,), (Y, LAST), (H,), Support(True))


def _sums(entry, feeds):
    y = feeds["h_in"][:, None] + np.cumsum(feeds["x"], axis=1, dtype="f")
    return {"y": y, "last": y[:, -1], "h_out": y[:, -1]}


def _forgetful(entry, feeds):
    return _sums(entry, feeds | {"h_in": 0 * feeds["h_in"]})


RUNNER = FakeRunner(ENTRY, _sums)


def _whole_numbers(*shape, seed=0):
    return np.random.default_rng(seed).integers(-9, 9, shape).astype("f")


def _assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], strict=True)


@st.composite
def lengths(draw):
    return draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))


@given(lengths(), st.integers(1, 3), st.booleans())
@settings(max_examples=30, deadline=None)
def test_any_chunks_give_outputs_and_states_of_the_whole(lengths, batch, from_state):
    feeds = {"x": _whole_numbers(batch, sum(lengths), 3)}
    if from_state:
        feeds["h_in"] = _whole_numbers(batch, 3, seed=1)
    _assert_same(run_in_chunks(RUNNER, feeds, lengths), RUNNER.run(feeds))


def test_a_runner_that_forgets_its_state_is_found():
    feeds = {"x": _whole_numbers(2, 5, 3)}
    pieces = run_in_chunks(FakeRunner(ENTRY, _forgetful), feeds, [2, 3])
    whole = FakeRunner(ENTRY, _forgetful).run(feeds)
    assert not np.array_equal(pieces["h_out"], whole["h_out"])


@pytest.mark.parametrize("runtime", ["ort-cpu", "litert"])
def test_a_real_stream_gives_what_the_whole_gives(small_bundle, x, runtime):
    runner = RUNTIMES[runtime].load(open_bundle(small_bundle), RunOptions("stream"))
    feeds = {"x": x, "first_h_in": x[:, 0, :1] * np.arange(5, dtype=F)}
    whole = runner.run(feeds)
    for pieces in ([1] * 6, [4, 2], [6]):
        for name, value in run_in_chunks(runner, feeds, pieces).items():
            np.testing.assert_allclose(value, whole[name], rtol=0, atol=1e-6, strict=True)


@pytest.mark.parametrize("pieces", [[2, 2], [4, 4], [], [6, 0], [-1, 7]])
def test_chunks_that_do_not_make_up_the_whole_are_refused(pieces):
    stream = Stream(RUNNER, batch=2)
    with raises(InputError, "E-INPUT-CHUNK-LENGTHS", str(pieces), "6"):
        stream.run({"x": _whole_numbers(2, 6, 3)}, pieces)
    _assert_same(stream.state, {"h_in": np.zeros((2, 3), F)})


@pytest.mark.parametrize(
    ("feeds", "named"),
    [
        ({}, "'x'"),
        ({"z": _whole_numbers(2, 6, 3)}, "'z'"),
        ({"x": _whole_numbers(2, 6, 3), "z": _whole_numbers(1)}, "'z'"),
        ({"x": _whole_numbers(2, 0, 3)}, "(2, 0, 3)"),
        ({"x": _whole_numbers(0, 6, 3)}, "(0, 6, 3)"),
        ({"x": np.float32(3)}, "'x'"),
        ({"x": _whole_numbers(2, 6, 3), "h_in": _whole_numbers(1, 3)}, "'h_in'"),
    ],
)
def test_bad_feeds_are_refused_as_a_whole(feeds, named):
    with pytest.raises(InputError, match=re.escape(named)):
        run_in_chunks(RUNNER, feeds, [3, 3])
    if "h_in" not in feeds:
        with pytest.raises(InputError, match=re.escape(named)):
            Stream(RUNNER, batch=2).run(feeds, [3, 3])


def test_steps_carry_the_state_and_reset_forgets_it():
    x = _whole_numbers(1, 3, 3)
    stream = Stream(RUNNER)
    steps = [stream.step(x[:, t : t + 1])["last"] for t in range(3)]
    np.testing.assert_array_equal(np.stack(steps, axis=1), np.cumsum(x, axis=1))
    stream.reset()
    np.testing.assert_array_equal(stream.step(x[:, :1])["last"], x[:, 0])


def test_a_state_is_set_and_not_fed():
    stream = Stream(RUNNER, batch=2)
    x = _whole_numbers(2, 1, 3)
    for feed in (stream.step, lambda feeds: stream.run(feeds, [1])):
        with raises(InputError, "E-INPUT-IS-STATE", "'h_in'"):
            feed({"x": x, "h_in": _whole_numbers(2, 3)})
    _assert_same(stream.state, {"h_in": np.zeros((2, 3), F)})


def test_nobody_else_s_array_is_the_stream_s_state():
    stream, state = Stream(RUNNER, batch=2), {"h_in": _whole_numbers(2, 3)}
    before = {"h_in": state["h_in"].copy()}
    stream.state = state
    state["h_in"] += 1
    stream.state["h_in"] += 1
    _assert_same(stream.state, before)


@pytest.mark.parametrize(
    ("state", "code", "names"),
    [
        ({}, "E-STATE-NAMES", ["h_in"]),
        ({"h_in": None}, "E-STATE-SHAPE", ["'h_in'", "object()", "float32(2, 3)"]),
        ({"h_in": [[1.0] * 3] * 2}, "E-STATE-SHAPE", ["'h_in'", "float64(2, 3)", "float32"]),
    ],
)
def test_what_is_no_state_of_this_stream_is_refused(state, code, names):
    with raises(InputError, code, *names):
        Stream(RUNNER, batch=2).state = state


@pytest.mark.parametrize("batch", [0, -1])
def test_a_stream_of_no_sequence_is_refused(batch):
    with raises(InputError, "E-INPUT-BATCH-SIZE", str(batch)):
        Stream(RUNNER, batch)


def test_a_refused_step_leaves_the_state():
    stream = Stream(RUNNER, batch=2)
    stream.step(_whole_numbers(2, 1, 3))
    before = stream.state
    with pytest.raises(InputError, match="'x'"):
        stream.step(_whole_numbers(2, 1, 4))
    with raises(InputError, "E-INPUT-BATCH", "'x'", "2", "3", "model.stream(3)"):
        stream.step(_whole_numbers(3, 1, 3))
    _assert_same(stream.state, before)


def test_a_run_that_breaks_off_leaves_the_state():
    def refusing(entry, feeds):
        if (feeds["x"] > 9).any():
            raise InputError("E-INPUT-X", "too much")
        return _sums(entry, feeds)

    stream, x = Stream(FakeRunner(ENTRY, refusing), batch=2), _whole_numbers(2, 6, 3)
    stream.run({"x": x}, [3, 3])
    before = stream.state
    x[1, 5, 2] = 10
    with raises(InputError, "E-INPUT-X"):
        stream.run({"x": x}, [2, 2, 2])
    _assert_same(stream.state, before)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_goes_on_by_itself(copied):
    x = _whole_numbers(2, 3, 3)
    stream = Stream(RUNNER, batch=2)
    stream.step(x)
    before, twin = stream.state, copied(stream)
    twin.step(x)
    _assert_same(stream.state, before)
    stream.step(x)
    _assert_same(stream.state, twin.state)


def test_the_state_goes_through_a_file(tmp_path):
    x = _whole_numbers(2, 5, 3)
    ahead, behind = Stream(RUNNER, 2, OWNER), copy.copy(Stream(RUNNER, 2, OWNER))
    ahead.step(x[:, :3])
    ahead.save(tmp_path / "state.npz")
    behind.restore(tmp_path / "state.npz")
    _assert_same(behind.state, ahead.state)
    _assert_same(behind.step(x[:, 3:]), ahead.step(x[:, 3:]))


def test_a_state_file_is_replaced_only_by_force(tmp_path):
    stream, place = Stream(RUNNER), tmp_path / "state.npz"
    stream.save(place)
    before = place.read_bytes()
    stream.step(_whole_numbers(1, 1, 3))
    with raises(InputError, "E-OPTION-EXISTS", "state.npz"):
        stream.save(place)
    assert place.read_bytes() == before
    stream.save(place, force=True)
    assert place.read_bytes() != before


@pytest.mark.parametrize(
    ("state", "code", "named"),
    [
        ({}, "E-STATE-NAMES", "h_in"),
        ({"g_in": np.zeros((2, 3), F)}, "E-STATE-NAMES", "g_in"),
        ({"h_in": np.zeros((1, 3), F)}, "E-STATE-SHAPE", "float32(1, 3)"),
        ({"h_in": np.zeros((2, 4), F)}, "E-STATE-SHAPE", "float32(2, 4)"),
        ({"h_in": np.zeros((2, 3))}, "E-STATE-SHAPE", "float64(2, 3)"),
    ],
)
def test_a_state_that_is_not_this_stream_s_is_refused(tmp_path, state, code, named):
    stream = Stream(RUNNER, 2, OWNER)
    stream.step(_whole_numbers(2, 1, 3))
    before = stream.state
    with raises(InputError, code, named):
        stream.state = state
    write_states(tmp_path / "state.npz", state, OWNER)
    with raises(InputError, code, named):
        stream.restore(tmp_path / "state.npz")
    np.savez(tmp_path / "plain.npz", **state)
    with raises(InputError, code, named):
        stream.restore(tmp_path / "plain.npz", any_bundle=True)
    _assert_same(stream.state, before)


@pytest.mark.parametrize("kind", ["missing", "text", "npy", "empty", "cut", "flipped", "pickled"])
def test_a_file_that_holds_no_state_is_refused(tmp_path, kind):
    place = tmp_path / "state.npz"
    Stream(RUNNER).save(place)
    good = place.read_bytes()
    flipped = bytearray(good)
    flipped[good.index(b"NUMPY") + 130] ^= 1
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "pickled.npz", h_in=np.array([{}]))
    content = {
        "text": b"state",
        "npy": (tmp_path / "one.npy").read_bytes(),
        "empty": b"",
        "cut": good[:-5],
        "flipped": bytes(flipped),
        "pickled": (tmp_path / "pickled.npz").read_bytes(),
    }
    place.unlink()
    if kind in content:
        place.write_bytes(content[kind])
    with raises(InputError, "E-STATE-UNREADABLE", "state.npz"):
        Stream(RUNNER).restore(place, any_bundle=True)


def test_a_model_whose_chunks_do_not_give_the_whole_is_refused():
    chunked = Support(False, "'y' of a whole differs from that of its chunks")
    runner = FakeRunner(EntryPoint("stream", (X,), (Y,), (H,), chunked), _sums)
    with raises(InputError, "E-STATE-NOT-CHUNKED", "'y' of a whole differs"):
        Stream(runner)
    with raises(InputError, "E-STATE-NOT-CHUNKED"):
        run_in_chunks(runner, {"x": _whole_numbers(1, 2, 3)}, [1, 1])
