"""Budgets: wide enough for another order of summation, far too narrow for wrong arithmetic."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.verifying.judge.tolerance import (
    ULPS,
    UNDERFLOW,
    UNIT_ROUNDOFF,
    allowed_error,
    derive_budgets,
    reference_errors,
)

RNG = np.random.default_rng(0)
TRUTH = RNG.standard_normal((4, 9, 8))


def case_of(reference, oracle, name="y"):
    oracle = {} if oracle is None else {name: np.asarray(oracle, np.float64)}
    return GoldenCase("c", ("sequence",), (), {}, {name: np.asarray(reference, np.float32)}, oracle)


def test_the_reference_s_own_error_is_its_largest_over_all_cases():
    cases = [case_of([1.0, 2.25], [1.0, 2.0]), case_of([1.5], [1.0]), case_of([9.0], None)]
    assert reference_errors(cases) == {"y": 0.5}
    assert reference_errors([case_of([1.0], None)]) == {}


def test_a_reference_that_is_nan_where_the_oracle_is_not_shows():
    assert reference_errors([case_of([np.nan], [1.0])]) == {"y": np.inf}


@pytest.mark.parametrize("own", [0.0, 1e-7, None])
def test_budgets_grow_with_the_tensor(own):
    small, large = allowed_error(TRUTH, own), allowed_error(100 * TRUTH, own)
    assert 0 < small < large


@given(own=st.floats(0, 1e-3), more=st.floats(1e-9, 1e-3))
@settings(max_examples=20, deadline=None)
def test_budgets_grow_with_tensorflow_s_own_error(own, more):
    assert allowed_error(TRUTH, own + more) > allowed_error(TRUTH, own)


@pytest.mark.parametrize("own", [0.0, None])
def test_infinities_and_nan_in_the_truth_do_not_open_the_budget(own):
    spoiled = TRUTH.copy()
    spoiled.flat[:3] = [np.inf, -np.inf, np.nan]
    assert allowed_error(spoiled, own) <= allowed_error(TRUTH, own)
    assert allowed_error(np.full(3, np.nan), own) == UNDERFLOW


def test_of_float64_it_is_finer_but_what_is_flushed_is_flushed():
    single, double = allowed_error(TRUTH, 1e-7), allowed_error(TRUTH, 1e-7, dtype="float64")
    assert double == pytest.approx(2.0**-29 * single, rel=1e-6)
    assert allowed_error(TRUTH * 1e-40, 0.0, dtype="float64") >= 1e-40 * np.abs(TRUTH).max()


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.bool_])
def test_what_is_no_float_must_be_equal(dtype):
    assert allowed_error(np.ones(3, dtype), 0.1) == 0.0


def bfloat16(value):
    bits = np.asarray(value, np.float32).view(np.uint32)
    return (bits & np.uint32(0xFFFF0000)).view(np.float32)


@pytest.mark.parametrize("own", [3e-7, None])
@pytest.mark.parametrize("spoil", [bfloat16, np.float16, lambda v: v * (1 + 1e-3)])
def test_less_than_single_precision_is_outside_the_budget(spoil, own):
    error = np.abs(np.asarray(spoil(TRUTH), np.float64) - TRUTH).max()
    assert error > 3 * allowed_error(TRUTH, own)


@pytest.mark.parametrize("terms", [3, 64, 1024])
def test_another_order_of_summation_is_within_the_budget(terms):
    a = RNG.standard_normal((50, terms)).astype(np.float32)
    b = RNG.standard_normal((terms, 20)).astype(np.float32)
    truth = np.tanh(a.astype(np.float64) @ b.astype(np.float64) / terms)

    def one_by_one(order):
        total = np.zeros((50, 20), np.float32)
        for k in order:
            total += a[:, k, None] * b[k]
        return np.tanh(total / np.float32(terms))

    own = np.abs(one_by_one(range(terms)) - truth).max()
    for order in (range(terms - 1, -1, -1), RNG.permutation(terms)):
        assert np.abs(one_by_one(order) - truth).max() <= allowed_error(truth, own)


def test_a_special_case_is_not_held_to_less_than_what_activations_are_exact_to():
    """A gate far below zero gives some 1e-21, or 0 where it is flushed: neither is wrong."""
    plain = case_of([0.5], [0.5])
    derived = derive_budgets(lambda: [plain], {"y": "float32"})
    tiny = case_of([9.2e-22], [9.2e-22])
    budgets = {
        check: derived.budget_of(replace(tiny, check=check, steps=steps), "y").atol
        for check, steps in (("extremes", 0), ("masks", 0), ("teacher-forced", 1))
    }
    assert budgets["extremes"] == budgets["masks"] == ULPS * UNIT_ROUNDOFF * 0.5 + UNDERFLOW
    assert budgets["teacher-forced"] < 1e-26
    large = replace(case_of([40.0], [40.0]), check="extremes")
    assert derived.budget_of(large, "y").atol == ULPS * UNIT_ROUNDOFF * 40 + UNDERFLOW


@pytest.mark.parametrize(("noise", "decisive"), [(0.4, True), (0.51, False), (5.0, False)])
def test_a_budget_that_a_constant_meets_is_not_decisive(noise, decisive):
    values = np.array([0.0, 0.25, 1.0])
    case = case_of(values, values)
    budgets = replace(derive_budgets(lambda: [case], {"y": "float32"}), noise={"y": noise})
    assert budgets.spans == {"y": 1.0}
    assert budgets.accepts_anything("y", noise) != decisive
    assert budgets.budget_of(case, "y").decisive == decisive
    assert np.all(np.abs(values - 0.5) <= noise) != decisive
