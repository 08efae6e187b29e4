"""Faults at numbers of steps and rows that no golden vector has, and masks of every row."""

from dataclasses import replace

import pytest

from rnn_deploy.verifying import verify
from rnn_deploy.verifying.judge.sizes import BATCHES, LENGTHS


def at(rows=None, steps=None):
    """An output that is off by 0.001 in calls of one size."""

    def outputs(feeds, results, calls):
        here = feeds["x"].shape[:2]
        wrong = (rows, steps) in ((here[0], None), (None, here[1]))
        return results | {"y": results["y"] + (1e-3 if wrong else 0.0)}

    return outputs


def failed(gated, outputs, bundle, checks=("sizes",)):
    runtime = replace(gated, outputs=outputs, calls=[]).runtime()
    return verify(bundle, runtimes=[runtime], checks=["states", *checks])


@pytest.mark.parametrize(
    "size", [{"rows": 4}, {"rows": 12}, {"rows": 64}, {"steps": 2}, {"steps": 18}, {"steps": 256}]
)
def test_a_fault_at_one_size_is_seen_and_the_size_is_named(size, gated, gated_bundle):
    report = failed(gated, at(**size), gated_bundle)
    wrong = [c for c in report.comparisons if not c.passed]
    ((unit, number),) = size.items()
    assert {c.check for c in wrong} == {"sizes"}
    assert all(f"{number} {unit}" in c.detail for c in wrong)
    (finding,) = report.findings
    assert finding.tensor == "y"
    assert finding.elements


def test_the_sizes_are_many():
    assert {*range(1, 35), 64, 100, 128, 256} <= {*LENGTHS}
    assert {*range(1, 19), 32, 64, 100} <= {*BATCHES}


def test_what_is_right_at_every_size_is_reported_once_for_each_group(gated, gated_bundle):
    report = verify(gated_bundle, runtimes=[gated.runtime()], checks=["states", "sizes", "masks"])
    assert report.passed, report.verdict
    details = [(c.case, c.detail, c.name) for c in report.comparisons if c.check == "sizes"]
    assert len(details) == len(set(details)) < 30
    assert any(f"{len(BATCHES)} numbers of rows" in detail for _, detail, _ in details)
    assert any("rows in 6 other orders" in c.detail for c in report.comparisons)


def test_a_mask_ignored_at_one_step_of_one_row_is_seen(gated, gated_bundle):
    def blind(mask):
        mask = mask.copy()
        if mask.shape[0] == 7:
            mask[4, 3:4] = True
        return mask

    runtime = replace(gated, masked=blind).runtime()
    report = verify(gated_bundle, runtimes=[runtime], checks=["masks"])
    assert not report.passed


def test_one_wrong_step_of_a_long_output_is_seen(gated, gated_bundle):
    def outputs(feeds, results, calls):
        y = results["y"].copy()
        if y.shape[1] == 300:
            y[:, 271] += 1e-3
        return results | {"y": y}

    report = failed(gated, outputs, gated_bundle, ["long"])
    wrong = [c for c in report.comparisons if not c.passed]
    assert {(c.check, c.name) for c in wrong} == {("long", "y")}
    assert {c.worst_index[1] for c in wrong} == {271}
