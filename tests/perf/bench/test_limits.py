"""The limits of recurrences: what is measured, and what part of a time they are."""

import pytest

from rnn_deploy.bundle.manifest import LoweringChoice
from rnn_deploy.perf.bench.limits import READ, limits_of
from rnn_deploy.perf.bench.measure import CallLatency
from rnn_deploy.spec.shapes import Shape


def choice(cell, units):
    return LoweringChoice(cell, cell, units, "native", "")


def took(us):
    return CallLatency(us, us, us, 1, (us,))


def test_products_and_weights_are_those_of_every_layer():
    limits = limits_of([choice("gru", 5), choice("lstm", 3)], Shape(2, 7))
    memory, gru, lstm = limits.calls()
    shapes = {name: call().shape for name, call in limits.calls().items()}
    assert (shapes[gru], shapes[lstm]) == ((14, 15), (14, 12))
    read = (3 * 25 + 4 * 9) * 7 / READ
    timings = {"own": took(100.0), gru: took(10.0), lstm: took(20.0), memory: took(0.0)}
    assert limits.share(timings, "own") == pytest.approx(0.3)
    timings[memory] = took(50 / read)
    assert limits.share(timings, "own") == pytest.approx(0.5)


@pytest.mark.parametrize("choices", [[], [choice("gru", 5), choice("MyCell", 3)]])
def test_there_are_none_of_what_is_not_known(choices):
    assert limits_of(choices, Shape(1, 1)) is None
