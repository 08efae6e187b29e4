"""Results compared with those of an earlier verification."""

from dataclasses import replace

import numpy as np
import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.errors import InputError
from rnn_deploy.verifying import verify
from rnn_deploy.verifying.report.baseline import baseline_in
from rnn_deploy.verifying.report.results import ResultsWriter, read_results
from tests.support.spoiled import wrong_from


def run(bundle, record, runtime):
    return verify(
        bundle, runtimes=[runtime], checks=["states", "sizes"], time_limit=None, record=record
    )


@pytest.fixture(scope="module")
def earlier(_small_bundle, tmp_path_factory):
    """The bundle, and the results of a right runtime in a file."""
    bundle, place = open_bundle(_small_bundle), tmp_path_factory.mktemp("r") / "old.npz"
    writer = ResultsWriter(place)
    report = run(bundle, writer.record, wrong_from(10**6, bundle))
    writer.finish(report)
    return bundle, place


def compared(earlier, runtime, *, fail_on_change=True):
    bundle, place = earlier
    with baseline_in(read_results(place, bundle)) as baseline:
        report = run(bundle, baseline.record, runtime)
        return baseline.finish(report, fail_on_change=fail_on_change)


def test_the_same_results_are_no_change(earlier):
    report = compared(earlier, wrong_from(10**6, earlier[0]))
    assert report.passed
    assert report.baseline.changed == ()
    assert sum(change.compared for change in report.baseline.changes) > 3
    assert report.baseline.unmatched == 0  # groups of sizes are left out
    assert report.baseline.lines[-1].startswith("no change: ")


def one_ulp_off(bundle):
    """A runtime whose output differs by rounding alone."""
    right = wrong_from(10**6, bundle)

    def answer(entry, feeds):
        results = right.answer(entry, feeds)
        return results | {"y": np.nextafter(results["y"], np.float32(9))}

    return replace(right, answer=answer)


def test_a_change_within_the_budget_is_listed_and_fails_only_on_request(earlier):
    report = compared(earlier, one_ulp_off(earlier[0]), fail_on_change=False)
    assert report.passed
    (change,) = report.baseline.changed
    assert (change.name, change.changed) == ("y", change.compared)
    assert 0 < change.largest < change.budget
    report = compared(earlier, one_ulp_off(earlier[0]))
    assert not report.passed
    assert {f.check for f in report.failed_checks} == {"baseline"}


def test_a_runtime_that_is_gone_is_a_change(earlier):
    report = compared(earlier, replace(wrong_from(10**6, earlier[0]), name="other"))
    assert report.baseline.gone == ("fake",)
    assert not report.passed


def test_results_on_other_inputs_are_refused(earlier):
    bundle, place = earlier
    results = read_results(place, bundle)
    other = replace(results, report=replace(results.report, reference="...; recomputed"))
    with pytest.raises(InputError) as refused, baseline_in(other):
        raise AssertionError
    assert refused.value.code == "E-VERIFY-BASELINE"
