"""One tensor against the truth: NaN-strict, shape-strict."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from rnn_deploy.verifying.judge.compare import ComparisonContext, TensorPair, compare
from rnn_deploy.verifying.judge.distance import errors, max_abs_error
from rnn_deploy.verifying.judge.tolerance import Budget

NAN, INF = np.nan, np.inf
FLOATS = st.floats(-1e6, 1e6, width=32)


def compared(actual, truth, budget=1e-6):
    pair = TensorPair(np.asarray(actual), np.asarray(truth))
    return compare(pair, ComparisonContext("r", "c", "k", "n", "output"), Budget(budget))


@pytest.mark.parametrize(
    ("actual", "truth", "error"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.5], [1.0, 2.0], 0.5),
        ([NAN], [NAN], 0.0),
        ([INF, -INF], [INF, -INF], 0.0),
        ([NAN], [1.0], INF),
        ([1.0], [NAN], INF),
        ([INF], [-INF], INF),
        ([INF], [3.0], INF),
        ([3.0], [INF], INF),
        ([NAN], [INF], INF),
        ([1.0, NAN, 1.0], [1.0, 1.0, 1.0], INF),
        ([[1.0, 2.0]], [1.0, 2.0], INF),
        ([1.0], [1.0, 1.0], INF),
        (1.0, [1.0], INF),
        ([3], [3], 0.0),
        ([3], [4], 1.0),
        ([True], [False], 1.0),
    ],
)
def test_the_error_is_the_largest_difference_or_infinite(actual, truth, error):
    assert max_abs_error(np.asarray(actual), np.asarray(truth)) == error
    found = compared(actual, truth)
    assert found.max_abs == error
    assert found.passed is (error == 0.0)


@pytest.mark.parametrize("shape", [(0,), (2, 0, 3)])
def test_nothing_where_nothing_is_due_is_right_and_proves_nothing(shape):
    found = compared(np.zeros(shape), np.zeros(shape), budget=1.0)
    assert found.passed
    assert not found.finite
    assert not compared(np.zeros((1, *shape)), np.zeros(shape), budget=1.0).passed


def test_the_worst_place_and_its_values_are_named():
    truth = np.zeros((2, 3, 4))
    actual = truth.copy()
    actual[0, 1, 2], actual[1, 2, 3] = 0.25, -0.5
    found = compared(actual, truth)
    assert (found.worst_index, found.found, found.expected) == ((1, 2, 3), -0.5, 0.0)
    actual[0, 0, 1] = NAN
    found = compared(actual, truth)
    assert found.worst_index == (0, 0, 1)
    assert np.isnan(found.found)


@pytest.mark.parametrize(
    ("budget", "passed"), [(0.5, True), (0.4999, False), (NAN, False), (INF, False), (0.0, False)]
)
def test_the_budget_is_the_largest_error_allowed(budget, passed):
    assert compared([1.5], [1.0], budget).passed is passed


@pytest.mark.parametrize("budget", [1e-6, 1e30, INF])
def test_nan_never_passes_for_a_number(budget):
    assert not compared([NAN], [1.0], budget).passed


def test_errors_are_told_in_ulps_of_float32():
    one = np.float32(1.0)
    above = np.nextafter(one, np.float32(2))
    assert compared([above], [one]).max_ulp == 1.0
    assert compared([np.nextafter(above, np.float32(2))], [one]).max_ulp == 2.0
    assert compared([one], [one]).max_ulp == 0.0


def test_a_truth_beyond_float32_is_no_trouble():
    found = compared(np.array([np.inf], np.float32), np.array([1e300]))
    assert found.max_abs == INF
    assert not found.passed


@given(
    truth=arrays(np.float32, array_shapes(max_dims=3, max_side=4), elements=FLOATS), data=st.data()
)
@settings(max_examples=30, deadline=None)
def test_every_single_altered_element_is_found(truth, data):
    place = data.draw(st.tuples(*(st.integers(0, n - 1) for n in truth.shape)))
    value = data.draw(st.sampled_from([NAN, INF, -INF, float(truth[place]) + 1e7]))
    actual = truth.copy()
    actual[place] = value
    assert compared(truth.copy(), truth, budget=0.0).passed
    found = compared(actual, truth, budget=1e6)
    assert not found.passed
    assert found.worst_index == place
    assert (errors(actual, truth) > 0).sum() == 1
