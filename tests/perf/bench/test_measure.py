import itertools
import sys

import numpy as np
import pytest

from rnn_deploy.perf.bench import measure
from rnn_deploy.perf.bench.measure import TURNS, TurnTaking, in_rounds, ratio, timed, timing

MODULE = sys.modules[measure.__module__]  # the package names the function as its module


class Clock:
    """Time that passes only when a contender says so, in nanoseconds."""

    def __init__(self):
        self.now = 0

    def perf_counter_ns(self):
        return self.now

    def perf_counter(self):
        return self.now / 1e9

    def taking(self, *ns):
        """A call that takes these times in turn, over and over."""
        times = itertools.cycle(ns)

        def call():
            self.now += next(times)

        return call


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(MODULE, "time", clock)
    return clock


def test_median_percentile_and_least_are_numpy_s():
    taken = np.random.default_rng(0).integers(1_000, 9_000, 101).tolist()
    result = timing([taken[:50], taken[50:]])
    assert result.median_us == pytest.approx(sorted(taken)[50] / 1e3)
    assert result.p95_us == pytest.approx(sorted(taken)[95] / 1e3)
    assert (result.min_us, result.calls) == (min(taken) / 1e3, 101)


def test_each_contender_gets_its_own_times(clock):
    timings = measure({"slow": clock.taking(4_000_000), "fast": clock.taking(1_000_000)}, seconds=2)
    assert timings["slow"].median_us == timings["slow"].p95_us == 4000
    assert timings["fast"].min_us == 1000
    assert timings["fast"].calls == 4 * timings["slow"].calls


def test_about_the_seconds_asked_are_measured(clock):
    timing = measure({"call": clock.taking(1_000_000)}, seconds=2.0)["call"]
    assert timing.calls == 2000
    assert clock.now == pytest.approx(2.1e9, rel=0.01)


def test_the_warm_up_does_not_count(clock):
    def first_slow():
        clock.now += 5_000_000_000 if clock.now == 0 else 1_000_000

    assert measure({"call": first_slow}, seconds=1.0)["call"].p95_us == 1000


def test_contenders_take_turns(clock):
    order = []

    def contender(name):
        def call():
            order.append(name)
            clock.now += 100_000_000

        return call

    measure({"a": contender("a"), "b": contender("b")}, seconds=0.5)
    measured = order[-2 * TURNS.rounds :]
    assert measured == ["a", "b"] * TURNS.rounds


@pytest.mark.parametrize("seconds", [0.0, 1e-9])
def test_every_contender_is_called_in_every_round_however_short_the_time(clock, seconds):
    assert measure({"call": clock.taking(1_000_000)}, seconds=seconds)["call"].calls == TURNS.rounds


def test_a_contender_settles_before_it_is_timed(clock):
    """Its first calls after another's turn are slow, as they are until it has the second core."""
    since = {"a": 0, "b": 0}

    def contender(name):
        def call():
            since.update({other: 0 for other in since if other != name})
            clock.now += 5_000_000 if since[name] < 5 else 1_000_000
            since[name] += 1

        return timed(call)

    both = {"a": contender("a"), "b": contender("b")}
    settled = in_rounds(both, seconds=0.1, turns=TurnTaking(2, settling=1.0))
    at_once = in_rounds(both, seconds=0.1, turns=TurnTaking(2))
    assert settled["a"].median_us == settled["a"].p95_us == 1000
    assert at_once["a"].p95_us == 5000


def test_a_call_that_takes_no_time_ends(clock):
    def call():
        clock.now += 0 if clock.now > 10_000_000 else 1_000_000

    timing = measure({"call": call}, seconds=0.001)["call"]
    assert timing.min_us >= 0


def test_an_error_of_a_contender_is_not_swallowed(clock):
    def broken():
        raise ValueError("the runner broke")

    with pytest.raises(ValueError, match="the runner broke"):
        measure({"broken": broken}, seconds=0.1)


def test_a_contender_that_gives_no_times_is_left_out(clock):
    given = {"here": timed(clock.taking(1_000)), "gone": lambda calls: []}
    assert set(in_rounds(given, seconds=1e-6)) == {"here"}


def test_one_that_fails_in_the_middle_is_left_out(clock):
    answers = iter([[5, 5, 5], *[[5]] * 9])
    given = {"here": timed(clock.taking(1_000)), "dies": lambda calls: next(answers, [])}
    assert set(in_rounds(given, seconds=0)) == {"here"}


def test_a_ratio_is_that_of_rounds_in_common():
    slow_machine = timing([[10], [100], [1000]]), timing([[5], [50], [500]])
    assert ratio(*slow_machine) == 2
