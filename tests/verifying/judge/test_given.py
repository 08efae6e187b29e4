"""Shapes and inputs that the user gives: right ones pass, and a fault that only they show fails."""

import numpy as np
import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.cli.reference_model import open_later
from rnn_deploy.errors import InputError
from rnn_deploy.spec.opening import Opening
from rnn_deploy.spec.shapes import Shape
from rnn_deploy.verifying import verify
from rnn_deploy.verifying.judge.given import GivenSizes
from rnn_deploy.verifying.judge.tolerance import GIVEN
from tests.support.spoiled import wrong_from


def verified(bundle, given, rows=10**6, model=None):
    original = None if model is None else open_later(bundle, model, Opening(), lambda step: None)
    return verify(
        bundle, runtimes=[wrong_from(rows, bundle)], checks=["states", "sequence"],
        time_limit=None, given=given, original=original,
    )  # fmt: skip


@pytest.mark.parametrize("with_model", [False, True])
def test_a_fault_of_large_batches_is_seen_only_at_their_shape(
    with_model, small_bundle, small_keras
):
    bundle, model = open_bundle(small_bundle), small_keras if with_model else None
    given = GivenSizes([Shape(200, 9)])
    assert verified(bundle, GivenSizes(), rows=150, model=model).passed
    report = verified(bundle, given, rows=150, model=model)
    assert {c.check for c in report.comparisons if not c.passed} == {GIVEN}
    assert {c.name for c in report.comparisons if not c.passed} == {
        "y", "first_h_out", "second_h_out"
    }  # fmt: skip
    assert any(finding.check == GIVEN for finding in report.findings)
    right = verified(bundle, given, model=model)
    assert right.passed
    compared = [c for c in right.comparisons if c.check == GIVEN]
    assert {c.name for c in compared} == {"y", "first_h_out", "second_h_out"}
    assert {c.against_itself for c in compared} == {not with_model}
    assert any("--model" in note for note in right.notes) != with_model
    (coverage,) = right.coverage
    assert (coverage.rows, coverage.steps) == (200, 16)


def test_inputs_of_the_user_are_compared_with_the_model(small_bundle, small_keras):
    x = np.random.default_rng(5).standard_normal((3, 7, 3)).astype(np.float32)
    bundle = open_bundle(small_bundle)
    report = verified(bundle, GivenSizes(inputs={"x": x}), model=small_keras)
    cases = {c.case for c in report.comparisons if c.check == GIVEN}
    assert report.passed
    assert len(cases) == 1
    other = verified(bundle, GivenSizes(inputs={"x": 2 * x}))
    assert cases != {c.case for c in other.comparisons if c.check == GIVEN}


def test_inputs_that_nothing_takes_are_refused(small_bundle):
    bundle = open_bundle(small_bundle)
    with pytest.raises(InputError) as refused:
        verified(bundle, GivenSizes(inputs={"x": np.zeros((2, 3, 9), np.float32)}))
    assert refused.value.code == "E-VERIFY-SHAPE"


def test_one_step_of_one_row_has_no_smaller_calls(small_bundle):
    report = verified(open_bundle(small_bundle), GivenSizes([Shape(1, 1)]))
    assert {f.check for f in report.failed_checks} == {GIVEN}
    assert "E-VERIFY-NO-TRUTH" in report.failed_checks[0].message
