"""What `verify` says of every fault planted in one file, or one signature of a file.

Each must fail by the quick checks already, and the file that is wrong must be named, and no other.
"""

import shutil
from dataclasses import replace

import onnx
import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.manifest import json_from_manifest
from rnn_deploy.bundle.store import record_of
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.verifying import runtime_verification as under_test
from rnn_deploy.verifying import verify
from rnn_deploy.verifying.diagnose.file_verdicts import blames
from rnn_deploy.verifying.judge.checks import CHECKS, QUICK
from rnn_deploy.verifying.runtime_verification import RuntimeVerification
from tests.support import mutants_onnx, mutants_tflite

ENTRIES = ("sequence", "stream", "step")
# From zero states the largest output of any golden vector is 1.39.
MISSED = {("output clipped at 1.5", "sequence")}


@pytest.fixture(autouse=True)
def _not_localised(monkeypatch):
    """Where it went wrong, and where nodes ran, have tests of their own and take their time."""
    monkeypatch.setattr(RuntimeVerification, "localise", lambda self: None)
    monkeypatch.setattr(under_test, "placed", lambda *_: ())


def has_room(fault, entry):
    """A sequence has no states that come and go, one step no order; the GRU is an operator in the
    sequence alone."""
    if fault == "gates' input clipped at 5":
        return entry == "sequence"
    if entry == "step":
        return fault not in ("direction flipped", "inputs a step late")
    of_states = ("h and c", "came", "initial", "c clipped", "h clipped", "c scaled")
    return entry == "stream" or not any(words in fault for words in of_states)


def spoiled(bundle, place, path, content):
    """A bundle with another file, its record in the manifest made to match."""
    root = shutil.copytree(bundle.root, place)
    (root / path).write_bytes(content)
    files = tuple(record_of(root, record.path) for record in bundle.manifest.files)
    manifest = replace(bundle.manifest, files=files)
    (root / "manifest.json").write_text(json_from_manifest(manifest))
    return open_bundle(root)


def judge(bundle, runtime, fault, entry, file):
    """Hold a spoiled bundle's verdict to what it must be."""
    runtimes = [runtime_named(runtime)]
    missed = (fault, entry) in MISSED
    checks = tuple(CHECKS) if missed else QUICK
    report = verify(bundle, runtimes=runtimes, checks=checks, limit=None)
    assert report.passed == missed
    if not report.passed:
        assert [blame.wrong for blame in blames(report.comparisons)] == [(file,)]


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("fault", mutants_onnx.FAULTS)
def test_a_fault_in_an_onnx_file_fails_and_that_file_is_named(fault, entry, gated_bundle, tmp_path):
    path = f"{entry}.onnx"
    model = onnx.load(gated_bundle.root / path)
    planted = mutants_onnx.FAULTS[fault](model)
    assert planted == has_room(fault, entry)
    if not planted:
        return
    bundle = spoiled(gated_bundle, tmp_path / "b", path, model.SerializeToString())
    judge(bundle, "ort-cpu", fault, entry, path)


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("fault", mutants_tflite.FAULTS)
def test_a_fault_in_a_signature_fails_and_it_is_named(fault, entry, gated, gated_bundle, tmp_path):
    content = (gated_bundle.root / "model.tflite").read_bytes()
    mutant = mutants_tflite.Mutant(content, entry)
    planted = mutants_tflite.FAULTS[fault](mutant, gated)
    assert planted == has_room(fault, entry)
    if not planted:
        return
    bundle = spoiled(gated_bundle, tmp_path / "b", "model.tflite", mutant.content)
    judge(bundle, "litert", fault, entry, f"model.tflite, signature {entry}")
