"""A stream whose states stay in the runtime's memory gives what one that carries them gives."""

import copy

import numpy as np
import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.errors import InputError
from rnn_deploy.inference.stream import Stream
from rnn_deploy.runtimes import binding
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.spec import STREAM
from tests.support.errors import raises


class Unbound:
    """A runner that cannot be bound."""

    def __init__(self, runner):
        self.entry, self.run = runner.entry, runner.run


@pytest.fixture
def both(small_bundle):
    """A stream on a runner that can be bound, and one on the same that cannot."""
    runner = runtime_named("ort-cpu").load(open_bundle(small_bundle), RunOptions(STREAM))
    return Stream(runner, 2), Stream(Unbound(runner), 2)


def chunks_of(rng, *lengths):
    return [rng.standard_normal((2, length, 3)).astype(np.float32) for length in lengths]


def same_state(one, other):
    return all(np.array_equal(one.state[name], other.state[name]) for name in one.state)


def test_steps_in_place_are_the_same_bits(both):
    rng = np.random.default_rng(0)
    for chunk in chunks_of(rng, 1, 1, 1, 1, 3, 1, 1, 3, 3, 3, 1):
        assert np.array_equal(both[0].step(chunk), both[1].step(chunk))
        assert same_state(*both)


def test_a_stream_is_bound_once_two_chunks_are_alike(both):
    one, three, *_ = chunks_of(np.random.default_rng(0), 1, 3)
    both[0].step(one)
    assert both[0]._bound is None
    both[0].step(one)
    assert both[0]._bound is not None
    both[0].step(three)
    assert both[0]._bound is None


def test_what_was_given_back_is_not_written_over(both):
    chunks = chunks_of(np.random.default_rng(0), *[1] * 6)
    outputs = [both[0].step(chunk) for chunk in chunks]
    state = both[0].state
    kept = {name: value.copy() for name, value in state.items()}
    both[0].step(chunks[0])
    assert all(np.array_equal(state[name], kept[name]) for name in kept)
    assert all(np.array_equal(y, both[1].step(x)) for x, y in zip(chunks, outputs, strict=True))


def test_a_state_that_is_set_reset_or_restored_is_the_one_that_goes_on(both, tmp_path):
    chunks = chunks_of(np.random.default_rng(0), *[1] * 4)
    for stream in both:
        for chunk in chunks:
            stream.step(chunk)
    both[0].save(tmp_path / "state.npz")
    for act in (
        lambda s: s.reset(),
        lambda s: s.restore(tmp_path / "state.npz", any_bundle=True),
        lambda s: setattr(s, "state", {n: v[::-1] for n, v in s.state.items()}),
    ):
        for stream in both:
            act(stream)
        assert same_state(*both)
        assert np.array_equal(both[0].step(chunks[1]), both[1].step(chunks[1]))


def test_a_copy_goes_on_by_itself_though_the_states_are_in_place(both):
    bound, unbound = both
    chunks = chunks_of(np.random.default_rng(0), *[1] * 4)
    for stream in both:
        for chunk in chunks:
            stream.step(chunk)
    twin = copy.copy(bound)
    twin.step(chunks[0])
    assert same_state(bound, unbound)
    unbound.step(chunks[0])
    assert same_state(twin, unbound)


def test_a_mask_is_not_lost_without_a_word(both):
    x = chunks_of(np.random.default_rng(0), 1)[0]
    for stream in both:
        for _ in range(3):
            stream.step(x)
    before = both[1].state
    for stream in both:
        with raises(InputError, "E-INPUT-MASKED-ARRAY", "'x'"):
            stream.step(np.ma.masked_greater(x, 0))
        assert all(np.array_equal(stream.state[name], before[name]) for name in before)


def test_views_and_other_orders_in_memory_are_read_as_they_are(both):
    chunk = np.random.default_rng(0).standard_normal((3, 1, 4)).astype(np.float32).T[1:3]
    assert not chunk.flags.c_contiguous
    for _ in range(4):
        assert np.array_equal(both[0].step(chunk), both[1].step(chunk))


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (lambda x: x[:1], "'x'"),
        (lambda x: x.astype(np.float64) * 1e300, "float64"),
        (lambda x: x[:, :, :2], "axis 2"),
        (lambda x: {"x": x, "z": x}, "'z'"),
        (lambda x: {}, "'x'"),
    ],
)
def test_what_does_not_fit_is_refused_and_moves_nothing(both, spoil, name):
    (chunk,) = chunks_of(np.random.default_rng(0), 1)
    for _ in range(3):
        both[0].step(chunk), both[1].step(chunk)
    with pytest.raises(InputError, match=name):
        both[0].step(spoil(chunk))
    assert same_state(*both)
    assert np.array_equal(both[0].step(chunk), both[1].step(chunk))


def test_tokens_outside_the_vocabulary_are_refused_in_place_too(token_bundle):
    runner = runtime_named("ort-cpu").load(open_bundle(token_bundle), RunOptions(STREAM))
    stream = Stream(runner)
    ids = np.array([[3]], np.int32)
    for _ in range(3):
        stream.step(ids)
    before = stream.state
    with raises(InputError, "E-INPUT-VOCABULARY", "'ids'", "7", "0 to 6"):
        stream.step(ids + 4)
    assert all(np.array_equal(before[name], value) for name, value in stream.state.items())


def test_an_error_of_the_runtime_leaves_the_state(both, monkeypatch):
    (chunk,) = chunks_of(np.random.default_rng(0), 1)
    for _ in range(3):
        both[0].step(chunk), both[1].step(chunk)

    def fails(bound):
        raise RuntimeError("no more memory")

    with monkeypatch.context() as patched:
        patched.setattr(both[0]._bound, "_run", fails)
        with raises(InputError, "E-INPUT-REFUSED", "ONNX Runtime", "no more memory"):
            both[0].step(chunk)
    assert same_state(*both)


def test_a_state_that_is_read_where_it_is_written_would_be_seen(both, monkeypatch):
    def confused(self, session, before, after, real=binding.OrtBound._binding):
        return real(self, session, before, before)

    monkeypatch.setattr(binding.OrtBound, "_binding", confused)
    chunks = chunks_of(np.random.default_rng(0), *[1] * 6)
    for chunk in chunks:
        both[0].step(chunk), both[1].step(chunk)
    assert not same_state(*both)
