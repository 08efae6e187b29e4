"""Faults planted in one file, or in one signature of a file.

Each must fail in the quick checks, and `verify` must name the wrong file and no other. A fault that
an entry point cannot have is skipped with its reason.
"""

import numpy as np
import onnx
import pytest

from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.verifying import runtime_verification, verify
from rnn_deploy.verifying.diagnose.file_verdicts import file_verdicts
from rnn_deploy.verifying.judge.checks import CHECKS, QUICK
from rnn_deploy.verifying.report.cause import cause_of
from rnn_deploy.verifying.runtime_verification import RuntimeVerification
from tests.support import mutants_onnx, mutants_tflite
from tests.support.spoiled import with_file

ENTRIES = ("sequence", "stream", "step")
# From zero states the largest output of any golden vector is 1.39.
MISSED = {("output clipped at 1.5", "sequence")}


@pytest.fixture(autouse=True)
def _not_localised(monkeypatch):
    """Localising and placement have tests of their own, and are slow."""
    monkeypatch.setattr(RuntimeVerification, "localise", lambda self: None)
    monkeypatch.setattr(runtime_verification, "node_devices", lambda *_: ())


def why_impossible(fault, entry):
    """Why an entry point cannot have a fault; None if it can."""
    if fault == "gates' input clipped at 5" and entry != "sequence":
        return "only the sequence has a GRU operator with the attribute clip"
    if entry == "step" and fault in ("direction flipped", "inputs a step late"):
        return "a single step has no order of steps"
    of_states = ("h and c", "came", "initial", "c clipped", "h clipped", "c scaled")
    if entry == "sequence" and any(words in fault for words in of_states):
        return "the sequence has no states as inputs or outputs"
    return None


def skip_if_impossible(fault, entry, planted):
    """Skip a fault that could not be planted; fail if it had to be."""
    reason = why_impossible(fault, entry)
    assert planted == (reason is None)
    if reason is not None:
        pytest.skip(reason)


def judge(bundle, runtime, fault, entry, file):
    """Assert that a spoiled bundle fails, and that its wrong file is named."""
    runtimes = [runtime_named(runtime)]
    missed = (fault, entry) in MISSED
    checks = tuple(CHECKS) if missed else QUICK
    report = verify(bundle, runtimes=runtimes, checks=checks, time_limit=None)
    assert not report.passed  # at least by the digests of its constants
    assert all(comparison.passed for comparison in report.comparisons) == missed
    if not missed:
        assert [each.wrong for each in file_verdicts(report.comparisons, report.failed_checks)] == [
            (file,)
        ]


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_file_that_fails_while_it_runs_is_named(entry, gated_bundle, tmp_path):
    model = onnx.load(gated_bundle.root / f"{entry}.onnx")
    after = mutants_onnx.After(model, "y")
    after.done(after("Reshape", after.raw, after.constant(np.array([7, 11, 13]))))
    content = model.SerializeToString()
    bundle = with_file(gated_bundle, tmp_path / "b", f"{entry}.onnx", content)
    checks = ("sequence", "states", "chunked", "step")
    report = verify(bundle, runtimes=[runtime_named("ort-cpu")], checks=checks, time_limit=None)
    failed = {f.files[-1] for f in report.failed_checks if f.check in checks}
    assert failed == {f"{entry}.onnx"}
    (verdicts,) = file_verdicts(report.comparisons, report.failed_checks)
    assert verdicts.wrong == (f"{entry}.onnx",)
    assert f"{entry}.onnx on ort-cpu: " in cause_of(report)


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("fault", mutants_onnx.FAULTS)
def test_a_fault_in_an_onnx_file_fails_and_that_file_is_named(fault, entry, gated_bundle, tmp_path):
    path = f"{entry}.onnx"
    model = onnx.load(gated_bundle.root / path)
    planted = mutants_onnx.FAULTS[fault](model)
    skip_if_impossible(fault, entry, planted)
    bundle = with_file(gated_bundle, tmp_path / "b", path, model.SerializeToString())
    judge(bundle, "ort-cpu", fault, entry, path)


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("fault", mutants_tflite.FAULTS)
def test_a_fault_in_a_signature_fails_and_it_is_named(fault, entry, gated, gated_bundle, tmp_path):
    content = (gated_bundle.root / "model.tflite").read_bytes()
    mutant = mutants_tflite.Mutant(content, entry)
    planted = mutants_tflite.FAULTS[fault](mutant, gated)
    skip_if_impossible(fault, entry, planted)
    bundle = with_file(gated_bundle, tmp_path / "b", "model.tflite", mutant.content)
    judge(bundle, "litert", fault, entry, f"model.tflite, signature {entry}")
