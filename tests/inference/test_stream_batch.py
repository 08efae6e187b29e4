"""Many streams in one call give what each gives alone, in whatever order they join and leave."""

import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_deploy.bundle.state_files import StateOwner
from rnn_deploy.errors import InputError
from rnn_deploy.inference.model import load
from rnn_deploy.inference.stream import Stream
from rnn_deploy.inference.stream_batch import StreamBatch
from rnn_deploy.runtimes.fake import FakeRunner
from rnn_deploy.spec import STREAM, EntryPoint, StateSpec, Support, TensorSpec
from tests.support.errors import raises


def entry_of(batch="batch", chunked=True):
    return EntryPoint(
        STREAM,
        (TensorSpec("x", (batch, "time", 2), "float32"),),
        (TensorSpec("y", (batch, "time", 2), "float32"),),
        (StateSpec(TensorSpec("h_in", (batch, 2), "float32"), "h_out", "rnn", "h"),),
        Support(chunked, "it looks ahead"),
        Support(True, "tried"),
    )


def answer(entry, feeds):
    """h = 2 h + x, in whole numbers, so that every order of the rows gives the same bits."""
    h, outputs = feeds["h_in"], []
    for t in range(feeds["x"].shape[1]):
        h = (2 * h + feeds["x"][:, t]) % 97
        outputs.append(h)
    return {"y": np.stack(outputs, axis=1), "h_out": h}


RUNNER = FakeRunner(entry_of(), answer)


def chunk(seed, length=1):
    return np.random.default_rng(seed).integers(0, 9, (1, length, 2)).astype(np.float32)


def masked(seed):
    return np.ma.masked_greater(chunk(seed), 4)


actions = st.lists(
    st.one_of(
        st.tuples(st.just("join")),
        st.tuples(st.just("leave"), st.integers(0, 9)),
        st.tuples(st.just("step"), st.integers(0, 2**10), st.integers(1, 3)),
        st.tuples(st.just("all"), st.integers(1, 3)),
        st.tuples(st.just("move"), st.integers(0, 9)),
    ),
    max_size=30,
)


@settings(max_examples=100, deadline=None)
@given(actions)
def test_any_order_of_joins_leaves_and_steps_is_as_alone(done):
    batch, alone = StreamBatch(RUNNER), {}
    for seed, (action, *how) in enumerate(done):
        keys = batch.keys
        if action == "join":
            alone[batch.join()] = Stream(RUNNER)
        elif action == "leave" and keys:
            key = keys[how[0] % len(keys)]
            left = batch.leave(key)
            assert np.array_equal(left["h_in"], alone.pop(key).state["h_in"])
        elif action == "move" and keys:  # out, and in again with its state
            key = keys[how[0] % len(keys)]
            alone[batch.join(batch.leave(key))] = alone.pop(key)
        elif action == "step":
            fed = {
                k: chunk(seed + k, how[1] + i % 2) for i, k in enumerate(keys) if how[0] >> i & 1
            }  # chunks of two lengths
            outputs = batch.step(fed)
            assert outputs.keys() == fed.keys()
            for key, x in fed.items():
                assert np.array_equal(outputs[key], alone[key].step(x))
        elif action == "all" and keys:
            xs = [chunk(seed + k, how[0]) for k in keys]
            y = batch.step_all(np.concatenate(xs))
            assert np.array_equal(y, np.concatenate(
                [alone[k].step(x) for k, x in zip(keys, xs, strict=True)]))  # fmt: skip
        assert set(batch.keys) == set(alone)
    for key, stream in alone.items():
        assert np.array_equal(batch.state(key)["h_in"], stream.state["h_in"])


def test_on_a_runtime_each_stream_is_as_alone(small_bundle):
    model = load(small_bundle, "ort-cpu")
    rng = np.random.default_rng(0)
    batch, alone = model.stream_batch(), {}
    for turn in range(30):
        if turn % 5 == 0:
            alone[batch.join()] = model.stream()
        if turn in (12, 21):
            alone.pop(batch.keys[1])
            batch.leave(batch.keys[1])
        fed = {k: rng.standard_normal((1, 1, 3)).astype(np.float32) for k in batch.keys}
        if turn == 17:
            fed.pop(batch.keys[0])
        for key, y in batch.step(fed).items():
            np.testing.assert_allclose(y, alone[key].step(fed[key]), atol=1e-6)
    for key, stream in alone.items():
        for name, value in batch.state(key).items():
            np.testing.assert_allclose(value, stream.state[name], atol=1e-6)


def test_a_number_is_never_given_twice():
    batch = StreamBatch(RUNNER)
    first = batch.join()
    batch.leave(first)
    assert batch.join() != first


def test_nobody_fed_moves_nobody():
    batch = StreamBatch(RUNNER)
    key = batch.join()
    batch.step({key: chunk(1)})
    before = batch.state(key)["h_in"]
    assert batch.step({}) == {}
    assert np.array_equal(batch.state(key)["h_in"], before)


@pytest.mark.parametrize(
    ("act", "names"),
    [
        (lambda b: b.step({7: chunk(0)}), ["E-STATE-NO-STREAM", "7", "0, 1"]),
        (lambda b: b.leave(7), ["E-STATE-NO-STREAM", "7", "0, 1"]),
        (lambda b: b.step({0: chunk(0), 1: chunk(0, 2)[..., :1]}), ["E-INPUT-SHAPE", "'x'"]),
        (lambda b: b.step({0: {"x": chunk(0)}, 1: {"z": chunk(0)}}), ["E-INPUT-UNKNOWN", "'z'"]),
        (lambda b: b.join(key=1), ["E-STATE-KEYS", "1"]),
        (lambda b: b.step({0: np.repeat(chunk(0), 2, axis=0)}), ["E-INPUT-MIXED", "x[None]"]),
        (lambda b: b.step({0: masked(0), 1: masked(1)}), ["'x'", "masked"]),
        (lambda b: b.step({0: {"x": masked(0)}}), ["'x'", "masked"]),
        (lambda b: b.step_all(np.ma.concatenate([masked(0), masked(1)])), ["'x'", "masked"]),
        (lambda b: b.join({"z": chunk(0)}), ["E-STATE-NAMES", "z", "h_in"]),
        (lambda b: b.join({"h_in": np.zeros((2, 2), np.float32)}), ["E-STATE-SHAPE", "'h_in'"]),
    ],
)
def test_a_mistake_is_refused_and_moves_nothing(act, names):
    batch = StreamBatch(RUNNER)
    keys = [batch.join(), batch.join()]
    batch.step({key: chunk(key) for key in keys})
    before = [batch.state(key)["h_in"] for key in keys]
    with pytest.raises(InputError) as caught:
        act(batch)
    assert all(name in str(caught.value) for name in names)
    assert batch.keys == (0, 1)
    after = [batch.state(key)["h_in"] for key in keys]
    assert np.array_equal(before, after)


def test_a_state_that_was_asked_for_is_a_copy():
    batch = StreamBatch(RUNNER)
    key = batch.join()
    batch.step({key: chunk(1)})
    before = batch.state(key)["h_in"].copy()
    batch.state(key)["h_in"] += 1
    assert np.array_equal(batch.state(key)["h_in"], before)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_go_on_by_themselves(copied):
    batch = StreamBatch(RUNNER)
    key = batch.join()
    batch.step({key: chunk(1)})
    twin, before = copied(batch), batch.state(key)["h_in"]
    twin.step({key: chunk(2)})
    assert np.array_equal(batch.state(key)["h_in"], before)
    batch.step({key: chunk(2)})
    assert np.array_equal(batch.state(key)["h_in"], twin.state(key)["h_in"])
    assert batch.join() == twin.join() != key


def test_streams_that_cannot_share_a_call_are_refused():
    with raises(InputError, "E-INPUT-ONE-BATCH", "'x'"):
        StreamBatch(FakeRunner(entry_of(batch=1), answer))
    steps_first = replace(entry_of(), outputs=(TensorSpec("y", ("time", "batch", 2), "float32"),))
    with raises(InputError, "E-INPUT-ONE-BATCH", "'y'"):
        StreamBatch(FakeRunner(steps_first, answer))
    with raises(InputError, "E-STATE-NOT-CHUNKED", "it looks ahead"):
        StreamBatch(FakeRunner(entry_of(chunked=False), answer))
    with raises(InputError, "E-STATE-NO-STREAM", "join()"):
        StreamBatch(RUNNER).step_all(chunk(0))


def test_a_stream_goes_on_from_a_file_here_and_in_a_stream_of_its_own(tmp_path):
    owner = StateOwner("weights", STREAM, "bundle")
    batch = StreamBatch(RUNNER, owner)
    keys = [batch.join(), batch.join()]
    batch.step({key: chunk(key, 3) for key in keys})
    batch.save(keys[1], tmp_path / "s.npz")
    expected = batch.step({keys[1]: chunk(9)})[keys[1]]
    late = copy.copy(batch).restore(tmp_path / "s.npz")
    assert late not in keys
    late = batch.restore(tmp_path / "s.npz")
    assert np.array_equal(batch.step({late: chunk(9)})[late], expected)
    alone = Stream(RUNNER, 1, owner)
    alone.restore(tmp_path / "s.npz")
    assert np.array_equal(alone.step(chunk(9)), expected)
    with raises(InputError, "E-STATE-NO-STREAM", "99"):
        batch.save(99, tmp_path / "t.npz")
    assert [place.name for place in tmp_path.iterdir()] == ["s.npz"]
    assert repr(batch) == "<StreamBatch of the streams 0, 1, 2>"


def test_streams_are_saved_and_loaded_with_the_user_s_keys(tmp_path):
    owner = StateOwner("w", STREAM, "b")
    batch = StreamBatch(RUNNER, owner)
    keys = [batch.join(key="pump 7"), batch.join(key=12), batch.join()]
    batch.step({key: chunk(row) for row, key in enumerate(keys)})
    batch.save(tmp_path / "all.npz")
    later = StreamBatch(RUNNER, owner)
    assert later.load(tmp_path / "all.npz") == ("pump 7", 12, 0)
    fed = {key: chunk(5 + row, 1 + row) for row, key in enumerate(keys)}
    expected, found = batch.step(fed), later.step(fed)
    assert list(found) == keys
    for key in keys:
        assert np.array_equal(found[key], expected[key])
    assert later.join() not in keys
    with raises(InputError, "E-STATE-KEYS", "pump 7"):
        later.load(tmp_path / "all.npz")
    assert len(later.keys) == 4
    with raises(InputError, "E-STATE-OTHER-BUNDLE"):
        StreamBatch(RUNNER, StateOwner("other", STREAM, "b")).load(tmp_path / "all.npz")
    odd = StreamBatch(RUNNER, owner)
    odd.join(key=(1, 2))
    with raises(InputError, "E-STATE-KEYS", "(1, 2)"):
        odd.save(tmp_path / "odd.npz")
    with raises(InputError, "E-STATE-NO-STREAM"):
        StreamBatch(RUNNER, owner).save(tmp_path / "none.npz")


def test_chunks_of_several_lengths_move_all_streams_or_none():
    batch = StreamBatch(RUNNER)
    a, b = batch.join(), batch.join()
    with raises(InputError, "E-INPUT-SHAPE", "'x'"):
        batch.step({a: chunk(0), b: np.ones((1, 3, 5), np.float32)})
    assert not batch.state(a)["h_in"].any()
