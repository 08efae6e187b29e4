"""`rnn-deploy conformance`: on this machine, saved and elsewhere, at random."""

import json
import subprocess
import sys

import pytest

from rnn_deploy.conformance import suite
from rnn_deploy.conformance.gaps import KnownGap
from tests.support.errors import raises


def test_a_case_is_tried_in_a_form_and_the_outcomes_shown(command):
    done = command("conformance", "--case", "GRU-last", "--form", "scan", "--json")
    outcomes = json.loads(done.out)
    assert {(o["case"], o["form"], o["fault"], o["gap"]) for o in outcomes} == {
        ("GRU-last", "scan", "", "")
    }
    assert {o["runtime"] for o in outcomes} >= {"ort-cpu", "openvino-cpu"}
    run = [o for o in outcomes if o["runtime"] != "numpy"]
    assert all(o["compared"] > 10 and 0 < o["worst"] < 2e-6 for o in run)
    (cells,) = (o for o in outcomes if o["runtime"] == "numpy")
    assert cells["compared"] == 1
    assert cells["worst"] < 1e-12


def test_a_saved_suite_runs_without_tensorflow(command, tmp_path):
    place = tmp_path / "suite"
    command("conformance", "--case", "GRU-l*", "--form", "auto", "--save", place)
    code = (
        "import sys; sys.modules['tensorflow'] = sys.modules['onnx'] = None\n"
        "from rnn_deploy.cli import main\n"
        f"main(['conformance', '--from', {str(place)!r}, '--runtime', 'ort-cpu'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "tensors compared, largest error" in done.stdout


def test_a_wrong_artifact_in_a_saved_suite_is_found(command, tmp_path):
    place = tmp_path / "suite"
    command("conformance", "--case", "GRU-last", "--form", "auto", "--save", place)
    artifact = place / "GRU-last.auto" / "sequence.onnx"
    artifact.write_bytes(artifact.read_bytes()[:-4] + b"oops")
    done = command("conformance", "--from", place, "--runtime", "ort-cpu")
    assert done.code == 1
    assert "GRU-last, auto, ort-cpu: " in done.err
    assert "1 of 2 outcomes" in done.err
    assert "E-VERIFY-FAILED" in done.err


def test_a_gap_that_works_is_a_failure(command, monkeypatch):
    gap = KnownGap("GRU-last", "scan", "ort-cpu", "it was wrong once")
    monkeypatch.setattr("rnn_deploy.conformance.gaps.GAPS", (gap,))
    words = ("--case", "GRU-last", "--form", "scan", "--runtime", "ort-cpu")
    done = command("conformance", *words)
    assert done.code == 1
    assert "GRU-last, scan, ort-cpu: WORKS" in done.err


def test_random_models_are_tried(command):
    done = command("conformance", "--random", 2, "--seed", 4, "--runtime", "ort-cpu", "--json")
    outcomes = json.loads(done.out)
    assert [o["case"] for o in outcomes if o["runtime"] == "ort-cpu"] == ["random-4", "random-5"]
    assert "stages" in json.loads(outcomes[0]["of"])


@pytest.mark.parametrize(
    ("words", "code", "names"),
    [
        (["--case", "nothing-*"], 1, ["E-VERIFY-NO-CASE", "'nothing-*'"]),
        (["--runtime", "abacus"], 2, ["E-RUNTIME-UNKNOWN", "'abacus'"]),
        (["--from", "nowhere"], 2, ["E-DATA-NO-SUITE", "nowhere"]),
        (["--random", "2", "--case", "x"], 2, ["E-OPTION-CONFLICT", "--random", "--case"]),
        (["--save", "x", "--runtime", "litert"], 2, ["E-OPTION-CONFLICT", "--save", "--runtime"]),
    ],
)
def test_a_mistake_is_one_clear_line(command, words, code, names):
    command("conformance", *words).refused(code, *names)


def test_a_suite_names_no_bundle_outside_its_folder(tmp_path):
    members = [{"theme": "t", "case": "c", "form": "auto", "bundle": "../c"}]
    (tmp_path / suite.INDEX).write_text(json.dumps(members))
    with raises(suite.InputError, "E-DATA-OUTSIDE", "../c"):
        list(
            suite.run_saved(tmp_path, suite.SuiteSelection(forms=("auto",)), [], lambda step: None)
        )
