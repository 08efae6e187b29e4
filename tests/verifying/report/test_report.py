"""The verdict, and the report as JSON."""

import json
from dataclasses import replace

import numpy as np
import pytest

from rnn_deploy.runtimes.registry import SkippedRuntime
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.report.as_json import json_from_report
from rnn_deploy.verifying.report.report import (
    NOTHING,
    FailedCheck,
    worst_of_each,
)
from tests.support.reports import GOOD, report_of

BAD = replace(GOOD, max_abs=1e-3)
VAGUE = replace(GOOD, name="z", decisive=False)
EMPTY = replace(GOOD, name="e", finite=False)
BROKEN = replace(GOOD, max_abs=np.inf, max_ulp=np.inf, found=np.nan, worst_index=())
FAILED = FailedCheck("litert", "chunked", "n3t5", "refused")


@pytest.mark.parametrize(
    ("report", "passed", "words"),
    [
        (report_of(GOOD, GOOD), True, ("2 comparisons",)),
        (report_of(), False, (NOTHING,)),
        (report_of(skipped=(SkippedRuntime("x", "y"),)), False, (NOTHING,)),
        (report_of(GOOD, BAD), False, ("1 of 2 comparisons", "0 checks")),
        (report_of(BROKEN), False, ("1 of 1 comparisons",)),
        (report_of(GOOD, failed_checks=(FAILED,)), False, ("0 of 1 comparisons", "1 check")),
        (report_of(failed_checks=(FAILED,)), False, ("0 of 0 comparisons", "1 check")),
        (report_of(replace(GOOD, max_abs=np.nan)), False, ("1 of 1",)),
        (report_of(GOOD, VAGUE), False, ("of z is decisive",)),
        (report_of(GOOD, VAGUE, replace(VAGUE, decisive=True)), True, ("3 comparisons",)),
        (report_of(GOOD, EMPTY), False, ("number in e",)),
    ],
    ids=["good", "nothing", "all skipped", "bad", "infinite", "error too", "only an error", "nan",
         "one vague throughout", "one vague somewhere", "one empty throughout"],
)  # fmt: skip
def test_the_verdict(report, passed, words):
    assert report.passed is passed
    assert report.verdict.startswith("passed: " if passed else "FAILED: ")
    assert all(word in report.verdict for word in words)


def test_the_worst_of_each_is_the_one_nearest_to_its_budget():
    close = replace(GOOD, case="close", max_abs=9e-7)
    larger_but_wider = replace(GOOD, case="wide", max_abs=1e-3, budget=1.0)
    found = worst_of_each([GOOD, close, larger_but_wider])
    assert [comparison.case for comparison in found] == ["close"]


def test_a_failure_is_never_hidden_by_one_that_passed():
    zero_budget = replace(GOOD, case="exact", max_abs=1e-9, budget=0.0)
    for failure in (BAD, BROKEN, zero_budget, replace(GOOD, max_abs=np.nan)):
        for order in ([GOOD, failure], [failure, GOOD]):
            (worst,) = worst_of_each(order)
            assert not worst.passed


def test_each_runtime_check_and_tensor_has_its_own_worst():
    others = [replace(GOOD, **{field: "other"}) for field in ("runtime", "check", "name")]
    assert len(worst_of_each([GOOD, *others, GOOD])) == 4
    assert worst_of_each([]) == []


def test_json_holds_everything_and_is_strict():
    report = report_of(
        GOOD, BROKEN, failed_checks=(FAILED,), skipped=(SkippedRuntime("ort-cuda", "no CUDA"),)
    )

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    data = json.loads(json_from_report(report), parse_constant=refuse)
    assert (data["passed"], data["verdict"]) == (False, report.verdict)
    first, second = data["comparisons"]
    assert (first["passed"], second["passed"]) == (True, False)
    assert (second["max_abs"], second["max_ulp"], second["found"]) == ("inf", "inf", "nan")
    assert [float(second[key]) for key in ("max_abs", "max_ulp")] == [np.inf, np.inf]
    rebuilt = Comparison(
        **{
            key: float(value) if key in ("max_abs", "max_ulp", "found") else value
            for key, value in first.items()
            if key != "passed"
        }
    )
    as_tuples = {"worst_index": tuple(rebuilt.worst_index), "files": tuple(rebuilt.files)}
    assert replace(rebuilt, **as_tuples) == GOOD
    assert data["failed_checks"] == [
        {"runtime": "litert", "check": "chunked", "case": "n3t5", "message": "refused", "files": []}
    ]
    assert data["skipped"] == [{"runtime": "ort-cuda", "reason": "no CUDA"}]
