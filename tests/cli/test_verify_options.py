"""`rnn-deploy verify`: what it covers, required runtimes, shapes, inputs, a baseline."""

import json
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from rnn_deploy.cli.verify_options import VerifyOptions
from rnn_deploy.errors import InputError
from rnn_deploy.runtimes import registry
from rnn_deploy.verifying.judge.checks import CHECKS, QUICK
from rnn_deploy.verifying.report.coverage import COVERS

ORT = ("--runtime", "ort-cpu", "--no-isolate")


def test_a_pass_says_what_it_covers(command, small_bundle):
    ended = command("verify", small_bundle, *ORT, "--check", "states", "--shape", "40x20")
    assert ended.code == 0, ended.err
    tested, not_tested, verdict = ended.out.splitlines()[-3:]
    assert tested.startswith("tested: up to 40 rows, up to 20 steps; ort-cpu (1 of ")
    assert "possible runtimes, not " in tested
    assert all(f"({check})" in not_tested for check in CHECKS if check != "states")
    assert verdict.startswith("passed: ")


def test_quick_says_what_it_does_not_cover(command, small_bundle):
    ended = command("verify", small_bundle, *ORT, "--quick")
    (line,) = (line for line in ended.out.splitlines() if line.startswith("not tested: "))
    shown = " ".join(command("verify", "--help").out.split())
    assert set(COVERS) == set(CHECKS)
    for check, what in COVERS.items():
        assert (f"{what} ({check})" in line) == (check not in QUICK)
        assert check in QUICK or what in shown


def test_a_required_runtime_that_is_missing_fails(command, small_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(
        type(registry.RUNTIMES["litert"]), "why_unavailable", lambda self: "cannot be imported"
    )
    words = ("verify", small_bundle, "--check", "states", "-o", tmp_path / "r.json")
    assert command(*words).code == 0
    ended = command(*words, "--require", "ort-cpu,litert")
    assert ended.code == 1
    assert ended.out.startswith("cause: litert: ")
    report = json.loads((tmp_path / "r.json").read_text())
    assert [(f["runtime"], f["check"]) for f in report["failed_checks"]] == [
        ("litert", "required")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--shape", "64"], ("E-OPTION-SHAPE", "32x100")),
        (["--shape", "0x8"], ("E-OPTION-SHAPE",)),
        (["--require", "abacus"], ("E-RUNTIME-UNKNOWN", "abacus")),
        (["--require", "litert", *ORT], ("E-OPTION-CONFLICT", "--runtime litert")),
        (["--fail-on-change"], ("E-OPTION-NEEDS", "--baseline")),
        (["--baseline", "none.npz"], ("E-VERIFY-RESULTS-DAMAGED", "none.npz")),
        (["--baseline", "b.npz", "--against", "m"], ("E-OPTION-CONFLICT", "--against")),
        (["--inputs", "none.npz"], ("none.npz",)),
    ],
)
def test_a_mistake_is_one_clear_line(words, expected, command, small_bundle):
    command("verify", small_bundle, *words).refused(2, *expected)


def test_options_that_choose_what_runs_exclude_each_other():
    with pytest.raises(InputError) as refused:
        VerifyOptions(quick=True, check=("states",))
    assert refused.value.code == "E-OPTION-CONFLICT"
    assert VerifyOptions(require=("ort-cpu, litert", "ort-cpu")).required == ("ort-cpu", "litert")


def test_inputs_and_a_baseline_together(command, small_bundle, tmp_path, x):
    np.savez(tmp_path / "x.npz", x=x)
    place = tmp_path / "old.npz"
    words = ("verify", small_bundle, *ORT, "--check", "states", "--inputs", tmp_path / "x.npz")
    assert command(*words, "--save", place).code == 0
    ended = command(*words, "--baseline", place, "--fail-on-change")
    assert ended.code == 0
    assert "no change: " in ended.out
    spoiled = tmp_path / "x2.npz"
    np.savez(spoiled, x=x + np.float32(1))
    ended = command(*words[:-1], spoiled, "--baseline", place, "--fail-on-change")
    assert "results are not in" in ended.out
    again = command("verify", small_bundle, "--from", place, "--baseline", place)
    assert again.code == 0
    assert "no change: " in again.out


def test_reports_are_replaced_but_nothing_else(command, small_bundle, tmp_path):
    places = {
        "-o": tmp_path / "r.json",
        "--junit": tmp_path / "r.xml",
        "--html": tmp_path / "r.html",
    }
    words = ("verify", small_bundle, *ORT, "--check", "states")
    words += tuple(word for pair in places.items() for word in pair)
    for _ in range(2):
        assert command(*words).code == 0
    for place in places.values():
        kept = place.read_text()
        place.write_text("mine")
        command(*words).refused(2, "E-OPTION-EXISTS", place.name)
        place.write_text(kept)


def test_a_refused_bundle_has_reports_too(command, small_bundle, tmp_path):
    (small_bundle / "stream.onnx").write_bytes(b"other")
    words = (
        "-o",
        tmp_path / "r.json",
        "--junit",
        tmp_path / "r.xml",
        "--html",
        tmp_path / "r.html",
    )
    ended = command("verify", small_bundle, *words)
    assert ended.code == 2
    assert "E-BUNDLE-ALTERED" in ended.err
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["passed"] is False
    assert "stream.onnx" in report["cause"]
    root = ET.parse(tmp_path / "r.xml").getroot()
    assert root.get("errors") == "1"
    assert "stream.onnx" in next(root.iter("error")).get("message")
    assert "stream.onnx" in (tmp_path / "r.html").read_text()


def test_no_runtime_has_a_report_too(command, small_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "RUNTIMES", {})
    ended = command("verify", small_bundle, "--junit", tmp_path / "r.xml")
    assert ended.code == 3
    assert ET.parse(tmp_path / "r.xml").getroot().get("errors") == "1"


def test_a_tolerance_below_tensorflows_own_error_is_a_warning(command, small_bundle):
    words = ("verify", small_bundle, *ORT, "--check", "states")
    tight = command(*words, "--atol", "y=1e-12")
    assert tight.code == 1
    assert "the tolerance of 'y', 1.0e-12, is below TensorFlow's own error" in tight.err
    loose = command(*words, "--atol", "y=100")
    assert "the tolerance of 'y', 1.0e+02, is not meaningful" in loose.err
    assert "own error of" not in command(*words, "--atol", "1e-3").err


def test_a_report_shows_tensorflows_error_of_the_same_element(command, small_bundle):
    ended = command("verify", small_bundle, *ORT, "--check", "states", "--json")
    compared = json.loads(ended.out)["comparisons"]
    assert all(c["reference_error_there"] <= c["reference_error"] for c in compared)
    assert any(0 < c["reference_error_there"] < c["reference_error"] for c in compared)
