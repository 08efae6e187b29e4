"""Every check bites: a runtime that is wrong in the one way it looks for, and in no other."""

from dataclasses import replace

import numpy as np
import pytest

from rnn_deploy.errors import InputError
from rnn_deploy.verifying import verify
from rnn_deploy.verifying.judge.checks import CHECKS, QUICK
from rnn_deploy.verifying.judge.tolerance import UserTolerance
from tests.support.errors import raises


def failing(bundle, *runtimes, **options):
    report = verify(bundle, runtimes=list(runtimes), **options)
    assert not report.failed_checks
    return {c.check for c in report.comparisons if not c.passed}


def units_reordered(gated):
    """Right by itself; but its states are in an order of its own, which no other runtime knows."""
    order, back = [1, 2, 3, 0], [3, 0, 1, 2]

    def run(entry, feeds):
        feeds = dict(feeds)
        if "gru_h_in" in feeds:
            feeds["gru_h_in"] = feeds["gru_h_in"][:, back]
        results = gated(entry, feeds)
        if "gru_h_out" in results:
            results["gru_h_out"] = results["gru_h_out"][:, order]
        return results

    return run


def remembering(feeds, results, calls):
    """Something of the call before is left."""
    return results | {"y": results["y"] + (1e-3 * calls[-1]["y"].mean() if calls else 0.0)}


def leaking(feeds, results, calls):
    """A row sees the row before it."""
    y = results["y"]
    return results | {"y": y + 1e-4 * np.roll(y, 1, axis=0) if len(y) > 1 else y}


def dropping_nan(feeds, results, calls):
    return {name: np.nan_to_num(value) for name, value in results.items()}


def late_in_time(feeds, results, calls):
    """From step 100 on, something is off."""
    y = results["y"].copy()
    y[:, 100:] += 1e-3
    return results | {"y": y}


def wrong_at_one_step(feeds, results, calls):
    """A call of one step is computed otherwise."""
    one = feeds["x"].shape[1] == 1 and np.any(feeds.get("gru_h_in", 0))
    return results | {"y": results["y"] + (1e-3 if one else 0.0)}


def spoiled(gated, outputs):
    return replace(gated, outputs=outputs, calls=[])


@pytest.mark.parametrize(
    ("outputs", "only"),
    [
        (remembering, {"reset"}),
        (leaking, {"batch"}),
        (dropping_nan, {"extremes"}),
        (late_in_time, {"long", "sizes"}),
        (wrong_at_one_step, {"step", "teacher-forced"}),
    ],
)
def test_each_fault_is_seen_by_the_check_for_it(outputs, only, gated, gated_bundle):
    wide = {"y": 0.5} if outputs is remembering else {}
    checks = [c for c in CHECKS if wide == {} or c == "reset"]
    found = failing(gated_bundle, spoiled(gated, outputs).runtime(), checks=checks)
    assert found >= only
    if outputs in (dropping_nan, late_in_time):
        assert found == only


def test_a_state_of_its_own_order_shows_where_it_is_handed_over(gated, gated_bundle):
    own = replace(gated.runtime("own"), answer=units_reordered(gated))
    report = verify(gated_bundle, runtimes=[own, gated.runtime("right")], checks=["hand-over"])
    failed = {(c.runtime, c.detail) for c in report.comparisons if not c.passed and c.name == "y"}
    assert failed == {("own", "resumed on right"), ("right", "resumed on own")}
    alone = verify(gated_bundle, runtimes=[own], checks=["hand-over"])
    from_zero = [c for c in alone.comparisons if "state" not in c.case]
    assert {c.name for c in from_zero if not c.passed} == {"gru_h_out"}


def test_quick_sees_wrong_arithmetic(gated, gated_bundle):
    wrong = gated.with_layer("lstm", kernel=gated.lstm.kernel * np.float32(1.001))
    assert failing(gated_bundle, wrong.runtime(), checks=QUICK) >= {"states", "teacher-forced"}


def test_a_tolerance_by_hand_takes_the_place_of_the_budget(gated, gated_bundle):
    off = spoiled(gated, lambda feeds, results, calls: results | {"y": results["y"] + 1e-3})
    runtime = off.runtime()

    def judged(**given):
        return verify(
            gated_bundle, runtimes=[runtime], checks=["sequence"], tolerance=UserTolerance(**given)
        ).passed

    assert not judged()
    assert judged(atol={"y": 2e-3})
    assert not judged(atol={"*": 2e-3, "y": 1e-4})
    assert judged(atol={"*": 1e-4, "y": 2e-3})
    assert judged(rtol={"*": 0.1}, atol={"y": 1e-3})
    with raises(InputError, "E-VERIFY-UNKNOWN-TENSOR", "z", "y, gru_h_out"):
        judged(atol={"z": 1.0})


@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf")])
@pytest.mark.parametrize("option", ["atol", "rtol"])
def test_a_tolerance_that_is_none_is_refused(option, value):
    with raises(InputError, "E-VERIFY-TOLERANCE", f"--{option} y={value:g}"):
        UserTolerance(**{option: {"y": value}})
