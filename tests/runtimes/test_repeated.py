"""Calls that repeat a shape run in memory bound once, and give what a call by itself gives."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.errors import InputError
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.registry import runtime_named

RNG = np.random.default_rng(0)


def runner_of(root, entry="sequence"):
    return runtime_named("ort-cpu").load(open_bundle(root), RunOptions(entry))


def inputs(*shapes):
    return [RNG.standard_normal((*shape, 3)).astype(np.float32) for shape in shapes]


@pytest.fixture
def runner(small_bundle):
    return runner_of(small_bundle)


def bound(runner):
    return runner._repeated._bound


def test_they_are_the_same_bits(runner, small_bundle):
    same, other = inputs((2, 6), (3, 4))
    for x in [same] * 5 + [other] * 5 + [same, other] * 3:
        fresh = runner_of(small_bundle).run({"x": x})
        assert np.array_equal(runner.run({"x": x})["y"], fresh["y"])
    assert bound(runner) is not None


def test_nothing_is_bound_before_a_shape_repeats_or_where_it_is_large(runner):
    small, other = inputs((2, 6), (3, 4))
    for x in (small, other) * 3:
        runner.run({"x": x})
        assert bound(runner) is None
    for _ in range(3):
        runner.run({"x": np.zeros((1, 6000, 3), np.float32)})
    assert bound(runner) is None


def test_what_was_given_back_is_not_written_over(runner):
    xs = inputs(*[(2, 6)] * 5)
    answers = [runner.run({"x": x})["y"] for x in xs]
    assert bound(runner) is not None
    kept = [answer.copy() for answer in answers]
    runner.run({"x": xs[0]})
    assert all(map(np.array_equal, answers, kept))
    assert not np.array_equal(answers[-1], answers[-2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[0], "found 2 dimensions"),
        (lambda x: x[:0], "axis 0 is empty"),
        (lambda x: x.astype(np.float64), "found float64"),
        (lambda x: x.tolist(), "found list"),
        (lambda x: x[..., :2], "axis 2 must be 3"),
    ],
)
def test_what_does_not_fit_is_refused_as_ever(runner, change, message):
    (x,) = inputs((2, 6))
    for _ in range(3):
        runner.run({"x": x})
    with pytest.raises(InputError, match=message):
        runner.run({"x": change(x)})
    with pytest.raises(InputError, match="unknown 'y'"):
        runner.run({"y": x})
    with pytest.raises(InputError, match="unknown 'z'"):
        runner.run({"x": x, "z": x})


def test_layouts_and_byte_orders_are_read_right(runner, small_bundle):
    (x,) = inputs((4, 6))
    for _ in range(3):
        runner.run({"x": x})
    expected = runner_of(small_bundle).run({"x": x})["y"]
    for given in (np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], x[::-1].copy()[::-1]):
        assert np.array_equal(runner.run({"x": given})["y"], expected)


def test_ids_outside_the_vocabulary_are_refused(token_bundle):
    runner = runner_of(token_bundle)
    ids = np.array([[1, 2, 6]], np.int32)
    for _ in range(3):
        runner.run({"ids": ids})
    assert bound(runner) is not None
    with pytest.raises(InputError, match="holds the id 7"):
        runner.run({"ids": ids + 1})


def test_threads_share_a_runner(runner, small_bundle):
    xs = inputs(*[(2, 6)] * 40)
    expected = [runner_of(small_bundle).run({"x": x})["y"] for x in xs[:4]]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda x: runner.run({"x": x})["y"], xs[:4] * 100))
    assert all(np.array_equal(a, expected[i % 4]) for i, a in enumerate(answers))


def test_a_stream_carries_its_states_itself(small_bundle):
    assert runner_of(small_bundle, "stream")._repeated is None


def test_a_mask_is_seen_and_refused(runner):
    (x,) = inputs((2, 6))
    for _ in range(3):
        runner.run({"x": x})
    with pytest.raises(InputError, match="'x' is a masked array"):
        runner.run({"x": np.ma.masked_array(x, x > 0)})
