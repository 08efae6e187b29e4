"""A report passes by what was compared: what was not there, or not looked at, is no pass."""

from dataclasses import dataclass, replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from rnn_deploy.bundle import read_cases
from rnn_deploy.bundle.manifest import Quantisation, QuantisationError
from rnn_deploy.verifying import verify
from rnn_deploy.verifying.judge.checks import CHECKS
from rnn_deploy.verifying.judge.distance import max_abs_error
from rnn_deploy.verifying.judge.encode_decode import CHECK as ENCODE_DECODE
from rnn_deploy.verifying.judge.quantisation import MARGIN
from rnn_deploy.verifying.report.junit import junit_from_report
from rnn_deploy.verifying.request import VerificationOptions, request_for


@dataclass(frozen=True)
class Careless:
    """A runtime of one's own, which hands out whatever its answer is."""

    answer: object
    name: str = "careless"
    format: str = "onnx"
    in_process: bool = True

    def version(self):
        return "0"

    def why_unavailable(self):
        return None

    def load(self, bundle, options):
        return CarelessRunner(bundle.manifest.entry(options.entry), self.answer)


@dataclass(frozen=True)
class CarelessRunner:
    entry: object
    answer: object

    def run(self, feeds):
        return self.answer(self.entry, feeds)

    def close(self):
        pass


@pytest.mark.parametrize("check", [c for c in CHECKS if c not in ("sequence", ENCODE_DECODE)])
def test_a_state_that_is_left_out_of_the_answer_breaks_every_check_off(check, gated, gated_bundle):
    def without(entry, feeds):
        results = gated(entry, feeds)
        results.pop("lstm_c_out", None)
        return results

    report = verify(gated_bundle, runtimes=[Careless(without)], checks=[check])
    assert not report.passed
    assert report.failed_checks
    for failed in report.failed_checks:
        for word in ("E-VERIFY-MISSING-TENSOR", "'lstm_c_out'", "'stream'"):
            assert word in failed.message


def test_an_answer_in_another_type_is_no_answer(gated, gated_bundle):
    def wider(entry, feeds):
        return {name: value.astype(np.float64) for name, value in gated(entry, feeds).items()}

    report = verify(gated_bundle, runtimes=[Careless(wider)], checks=["states"])
    assert report.failed_checks
    for failed in report.failed_checks:
        for word in ("E-VERIFY-DTYPE", "'stream'", "float64", "float32"):
            assert word in failed.message


def cases_for(bundle, entry):
    """Plain golden vectors that are for one entry point alone."""
    cases = read_cases(bundle.root / "golden.npz")
    return [replace(case, entries=(entry,)) for case in cases if entry in case.entries]


def without_states(gated, bundle):
    """A report by golden vectors that show states only where a runtime is held to itself."""
    checks = ["sequence", "states", "reset", "batch", "running-bound"]
    cases = cases_for(bundle, "sequence")
    return verify(bundle, runtimes=[gated.runtime()], cases=cases, checks=checks)


def test_states_that_no_golden_vector_shows_are_no_pass(gated, gated_bundle):
    report = without_states(gated, gated_bundle)
    assert all(comparison.passed for comparison in report.comparisons)
    assert not report.passed
    assert report.not_compared == (
        "'gru_h_out' on fake",
        "'lstm_h_out' on fake",
        "'lstm_c_out' on fake",
    )
    assert "'gru_h_out' on fake" in report.verdict


def test_a_runtime_of_which_nothing_was_compared_is_no_pass_beside_one_of_which_it_was(
    gated, gated_bundle
):
    both = [gated.runtime("one"), gated.runtime("two")]
    report = verify(gated_bundle, runtimes=both, checks=["states"])
    assert report.passed
    only = replace(report, comparisons=tuple(c for c in report.comparisons if c.runtime == "one"))
    assert not only.passed
    assert only.not_compared == ("anything on two",)


def test_a_ci_server_is_told_of_a_report_that_fails_by_no_comparison(gated, gated_bundle):
    root = ET.fromstring(junit_from_report(without_states(gated, gated_bundle)))
    (failure,) = root.iter("failure")
    assert "'gru_h_out' on fake" in failure.get("message")
    assert root.get("failures") == "1"


def test_integers_that_float64_holds_no_longer_must_be_equal_too():
    large = np.array([2**53, -(2**62)], np.int64)
    assert max_abs_error(large, large) == 0
    assert max_abs_error(large + 1, large) == 1
    assert max_abs_error(np.array([True]), np.array([False])) == 1


def test_what_one_runtime_tells_says_nothing_of_another(gated, gated_bundle):
    both = [gated.runtime("float32"), gated.runtime("int8")]
    report = verify(gated_bundle, runtimes=both, checks=["states"])
    vague = tuple(
        replace(c, decisive=c.runtime == "float32" or c.name != "y") for c in report.comparisons
    )
    spoiled = replace(report, comparisons=vague)
    assert not spoiled.passed
    assert spoiled.never_decisive == ("y",)


def test_noise_as_large_as_the_values_tells_nothing(gated_bundle):
    def decisive(max_abs):
        cost = QuantisationError("y", "output", 20.0, max_abs)
        how = Quantisation("onnx", "int8", 1, 1, 1, 4, "", (cost,))
        request = request_for(gated_bundle, VerificationOptions(["sequence"]))
        case = next(iter(request.read()))
        return request.for_quantised(how).budgets.budget_of(case, "y").decisive

    cases = read_cases(gated_bundle.root / "golden.npz")
    values = np.concatenate([case.truth["y"].ravel() for case in cases if not case.check])
    constant = np.ptp(values) / 2  # the error of the best constant
    assert decisive(0.99 * constant / MARGIN)
    assert not decisive(1.01 * constant / MARGIN)
