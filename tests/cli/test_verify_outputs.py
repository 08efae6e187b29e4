"""`rnn-deploy verify`: the files it writes, what it stores and judges again, and isolation."""

import json
import os
import sys
import time
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from rnn_deploy.cli.verify_options import VerifyOptions
from rnn_deploy.runtimes import registry
from rnn_deploy.runtimes.fake import FakeRuntime


def misbehaving(entry, feeds):
    """Return zeros, which are wrong; abort with 17 rows, hang with three."""
    if len(feeds["x"]) == 17:
        os.abort()
    if len(feeds["x"]) == 3:
        time.sleep(60)
    return zeros(entry, feeds)


def zeros(entry, feeds):
    batch, steps = feeds["x"].shape[:2]
    shapes = {"y": (batch, steps, 2), "first_h_out": (batch, 5), "second_h_out": (batch, 4)}
    return {t.name: np.zeros(shapes[t.name], np.float32) for t in entry.all_outputs}


@dataclass(frozen=True)
class Native(FakeRuntime):
    """A fake that is isolated as a real one is."""

    name: str = "native"
    in_process: bool = False


@pytest.fixture
def native(monkeypatch):
    monkeypatch.setitem(registry.RUNTIMES, "native", Native(misbehaving))
    monkeypatch.setitem(registry.RUNTIMES, "steady", Native(zeros, "steady"))


def test_every_output_is_written_in_one_run(command, small_bundle, tmp_path):
    places = {name: tmp_path / f"out.{name}" for name in ("json", "junit", "html", "save")}
    words = ["-o", places["json"], "--junit", places["junit"], "--html", places["html"],
             "--save", places["save"], "--runtime", "ort-cpu"]  # fmt: skip
    ended = command("verify", small_bundle, *words)
    assert ended.code == 0, ended.err
    for place in places.values():
        assert place.is_file()
        assert f"wrote {place}" in ended.err
    report = json.loads(places["json"].read_text())
    assert report["passed"] is True
    assert report["environment"]["ort-cpu"]
    assert {node["provider"] for node in report["node_devices"]} == {"CPUExecutionProvider"}
    assert "nodes of ort-cpu ran: " in ended.err
    assert "environment: machine " in ended.err
    assert ET.fromstring(places["junit"].read_bytes()).get("failures") == "0"
    assert "second_h_out" in places["html"].read_text()
    again = command("verify", small_bundle, *words)
    again.refused(2, "out.save", "--force")  # reports are replaced, results are not


def test_what_was_saved_is_judged_again_without_a_runtime(
    command, small_bundle, token_bundle, tmp_path, monkeypatch
):
    place = tmp_path / "results.npz"
    first = command("verify", small_bundle, "--runtime", "ort-cpu", "--save", place, "--json")
    monkeypatch.setattr(registry, "RUNTIMES", {})
    words = ["--from", place, "--json", "--html", tmp_path / "again.html"]
    second = command("verify", small_bundle, *words)
    assert second.code == 0
    assert json.loads(second.out) == json.loads(first.out)
    assert "PASSED" in (tmp_path / "again.html").read_text()
    strict = command("verify", small_bundle, "--from", place, "--atol", "1e-12", "--json")
    assert strict.code == 1
    report = json.loads(strict.out)
    assert report["tolerance"].endswith("--atol 1e-12")
    assert {c["budget"] for c in report["comparisons"]} == {1e-12}
    other = command("verify", token_bundle, "--from", place)
    other.refused(2, "E-VERIFY-RESULTS-OTHER-BUNDLE", "--save again")
    place.write_bytes(place.read_bytes()[:200])
    command("verify", small_bundle, "--from", place).refused(2, "E-VERIFY-RESULTS-DAMAGED")


@pytest.mark.parametrize(
    "words",
    [
        ["--runtime", "ort-cpu"],
        ["--check", "states"],
        ["--save", "r.npz"],
        ["--threads", "2"],
        ["--isolate"],
        ["--time-limit", "5"],
    ],
)
def test_from_runs_nothing_so_what_would_is_refused(command, small_bundle, words, tmp_path):
    ended = command("verify", small_bundle, "--from", tmp_path / "r.npz", *words)
    ended.refused(2, "E-OPTION-CONFLICT", words[0], "--from")


def test_two_outputs_in_one_file_are_refused(command, small_bundle, tmp_path):
    words = ["--junit", tmp_path / "r", "--html", tmp_path / "r"]
    command("verify", small_bundle, *words).refused(2, "E-OPTION-SAME-FILE", str(tmp_path / "r"))


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_html_without_its_extra_is_an_error_before_anything_runs(
    package, command, small_bundle, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, package, None)
    ended = command("verify", small_bundle, "--html", tmp_path / "r.html")
    ended.refused(3, f"'{package}'", "pip install", "[report]")
    assert not (tmp_path / "r.html").exists()


def test_an_abort_and_a_hang_are_failed_checks_and_the_rest_goes_on(
    command, small_bundle, native, tmp_path
):
    place = tmp_path / "r.xml"
    words = ["--runtime", "native", "--runtime", "steady", "--check", "sequence", "--json"]
    ended = command("verify", small_bundle, *words, "--time-limit", "4", "--junit", place)
    assert ended.code == 1
    report = json.loads(ended.out)
    messages = {(f["runtime"], f["case"]): f["message"] for f in report["failed_checks"]}
    assert "'native' ended with SIGABRT" in messages["native", "n17t3"]
    assert "within 4 s" in messages["native", "n3t5"]
    runs = {(c["runtime"], c["case"]) for c in report["comparisons"]}
    assert {("native", "n2t16"), ("steady", "n17t3"), ("steady", "n3t5")} <= set(runs)
    errors = [error.get("message") for error in ET.parse(place).iter("error")]
    assert messages["native", "n17t3"] in errors


@pytest.mark.parametrize("limit", ["0", "-1", "nan"])
def test_a_time_limit_is_a_positive_number(command, small_bundle, limit):
    ended = command("verify", small_bundle, "--time-limit", limit)
    ended.refused(2, "time limit", "seconds")


def test_a_failed_verification_leaves_no_half_written_results(
    command, small_bundle, tmp_path, monkeypatch
):
    monkeypatch.setattr("rnn_deploy.verifying.report.junit.junit_from_report", None)
    place = tmp_path / "r.npz"
    words = ["--runtime", "ort-cpu", "--check", "sequence", "--no-isolate"]
    ended = command("verify", small_bundle, *words, "--save", place, "--junit", tmp_path / "r.xml")
    assert ended.code == 70
    assert sorted(p.name for p in tmp_path.iterdir()) == ["small"]


@pytest.mark.parametrize(
    ("isolate", "time_limit", "quick", "seconds"),
    [
        (None, None, False, 120), (None, None, True, None), (True, None, True, 120),
        (False, None, False, None), (None, 5, True, 5), (None, 5, False, 5),
    ],
)  # fmt: skip
def test_runtimes_are_isolated_by_default_except_with_quick(isolate, time_limit, quick, seconds):
    options = VerifyOptions(isolate=isolate, time_limit=time_limit, quick=quick)
    assert options.isolation == seconds


def test_a_time_limit_without_isolation_is_refused(command, small_bundle):
    ended = command("verify", small_bundle, "--no-isolate", "--time-limit", "5")
    ended.refused(2, "E-OPTION-CONFLICT", "--time-limit", "--no-isolate")
