"""The proof in a user's own test suite: it passes, it fails with a place and not a dump."""

import importlib.metadata
import subprocess
import sys

import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.errors import BundleError, InputError
from rnn_deploy.testing import assert_same
from tests.support.errors import raises
from tests.support.spoiled import spoiled


def test_a_faithful_bundle_gives_its_report(small_bundle):
    report = assert_same(small_bundle, runtimes=["ort-cpu"], checks=["sequence", "states"])
    assert report.passed
    assert {c.check for c in report.comparisons} == {"sequence", "states"}


def test_a_failure_names_the_place_and_stays_short(small_bundle):
    bundle = open_bundle(small_bundle)
    with pytest.raises(AssertionError) as failed:
        assert_same(bundle, runtimes=["ort-cpu", spoiled(bundle)], checks=["states"])
    said = str(failed.value)
    lines = said.splitlines()
    assert lines[0].startswith(f"{small_bundle}: verification FAILED: ")
    assert "the first difference is in state h of layer 'second'" in said
    assert "unit 2" in said
    assert any(line.startswith("spoiled  states  state second_h_out  1.0e-03") for line in lines)
    assert not any(line.startswith("ort-cpu") for line in lines)
    assert len(lines) < 12
    assert max(map(len, lines)) < 200


def test_a_tolerance_for_all_or_by_name(small_bundle):
    bundle = open_bundle(small_bundle)
    wrong = {"runtimes": [spoiled(bundle)], "checks": ["states"]}
    assert assert_same(bundle, **wrong, atol=2e-3).tolerance.endswith("--atol 0.002")
    assert assert_same(bundle, **wrong, atol={"second_h_out": 2e-3}).passed
    with pytest.raises(AssertionError, match="second_h_out"):
        assert_same(bundle, **wrong, rtol={"y": 1.0})


@pytest.mark.parametrize(
    ("options", "code", "name"),
    [
        ({"checks": ["smell"]}, "E-VERIFY-UNKNOWN-CHECK", "smell"),
        ({"atol": {"z": 1.0}}, "E-VERIFY-UNKNOWN-TENSOR", "z"),
        ({"atol": -1.0}, "E-VERIFY-TOLERANCE", "-1"),
    ],
)
def test_a_mistake_is_an_error_and_not_a_failed_assertion(small_bundle, options, code, name):
    with raises(InputError, code, name):
        assert_same(small_bundle, **options)


def test_an_unknown_runtime_is_an_error_and_not_a_failed_assertion(small_bundle):
    with pytest.raises(InputError) as error:
        assert_same(small_bundle, runtimes=["abacus"])
    assert "'abacus'" in str(error.value)


def test_nothing_to_check_fails(small_bundle):
    with pytest.raises(AssertionError, match="nothing was checked"):
        assert_same(small_bundle, runtimes=[])


SUITE = """
from rnn_deploy.bundle import open_bundle
from rnn_deploy.testing import assert_same
from tests.support.spoiled import spoiled

def test_fixture(assert_same):
    assert_same({bundle!r}, runtimes=["ort-cpu"], checks=["states"])

def test_spoiled():
    bundle = open_bundle({bundle!r})
    assert_same(bundle, runtimes=[spoiled(bundle)], checks=["states"])
"""


def test_in_a_suite_of_its_own(small_bundle, tmp_path):
    (tmp_path / "test_mine.py").write_text(SUITE.format(bundle=str(small_bundle)))
    found = importlib.metadata.entry_points(group="pytest11")
    plugin = [] if "rnn-deploy" in found.names else ["-p", "rnn_deploy.pytest_plugin"]
    command = [sys.executable, "-m", "pytest", "-q", *plugin, "-p", "no:cacheprovider", "-c",
               "/dev/null", "--rootdir", str(tmp_path), str(tmp_path / "test_mine.py")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "the first difference is in state h of layer 'second'" in done.stdout
    assert "test_mine.py:11" in done.stdout  # the user's line, not ours
    assert "rnn_deploy/testing.py" not in done.stdout
    assert len(done.stdout.splitlines()) < 60


def test_the_plugin_imports_nothing_heavy_when_pytest_starts():
    code = "import rnn_deploy.pytest_plugin, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"numpy", "rich", "onnxruntime", "rnn_deploy.testing"}


def test_a_bundle_belongs_to_its_model_and_to_no_other(small_bundle, small_keras, tmp_path):
    import keras

    options = {"runtimes": ["ort-cpu"], "checks": ["sequence"]}
    assert assert_same(small_bundle, model=small_keras, **options).passed
    model = keras.models.load_model(small_keras)
    model.layers[-1].bias.assign_add([0.0, 1e-3])
    model.save(tmp_path / "trained.keras")
    with pytest.raises(AssertionError, match="other weights") as failed:
        assert_same(small_bundle, model=tmp_path / "trained.keras", **options)
    assert "rnn-deploy export" in str(failed.value)
    model = keras.models.load_model(small_keras)
    model.layers[-2].cell.activation = keras.activations.tanh  # weights alone do not tell
    model.save(tmp_path / "other.keras")
    with pytest.raises(AssertionError, match="output 'y'"):
        assert_same(small_bundle, model=tmp_path / "other.keras", **options)


def test_an_error_has_no_frames_of_ours_but_one(tmp_path):
    with pytest.raises(BundleError) as failed:
        assert_same(tmp_path / "nothing")
    assert len(failed.traceback) == 2  # the caller's line, and the hidden one
    assert failed.value.__cause__ is None
