"""`rnn-deploy verify`: what it prints, its exit codes, and what it leaves alone."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest

from rnn_deploy.bundle import open_bundle, read_cases
from rnn_deploy.bundle.manifest import json_from_manifest
from rnn_deploy.bundle.store import record_of
from rnn_deploy.cli import main
from rnn_deploy.errors import InputError
from rnn_deploy.runtimes import registry
from rnn_deploy.runtimes.fake import FakeRuntime
from rnn_deploy.verifying.report.report import NOTHING
from tests.support.models import small_model, token_model


@pytest.fixture
def rnn_deploy_verify(capfd):
    """Run `rnn-deploy verify` with these words: exit code, standard output, standard error."""

    def run(*words):
        with pytest.raises(SystemExit) as left:
            main(["verify", *map(str, words)])
        said = capfd.readouterr()
        assert "Traceback" not in said.err
        return left.value.code, said.out, said.err

    return run


def from_the_golden_vectors(spoil=lambda name, value: value):
    """A fake runtime that knows the answers by heart, spoiled by `spoil`."""
    known = []

    def load(bundle, options):
        known[:] = read_cases(bundle.root / bundle.manifest.golden)
        return FakeRuntime.load(fake, bundle, options)

    def answer(entry, feeds):
        for case in known:
            if all(np.array_equal(case.feeds.get(n, 0 * v), v) for n, v in feeds.items()):
                return {t.name: spoil(t.name, case.reference[t.name]) for t in entry.all_outputs}
        raise InputError("E-TEST-CASE", "not a golden case")

    fake = FakeRuntime(answer)
    object.__setattr__(fake, "load", load)
    return fake


@pytest.fixture
def fake_runtime(monkeypatch):
    """Register a fake runtime that spoils the right answers."""

    def register(spoil):
        monkeypatch.setitem(registry.RUNTIMES, "fake", from_the_golden_vectors(spoil))

    return register


def test_a_good_bundle_passes_with_a_table_and_a_verdict(small_bundle, rnn_deploy_verify):
    code, out, err = rnn_deploy_verify(small_bundle)
    assert code == 0
    assert out.strip().splitlines()[-1].startswith("passed: ")
    for word in ("ort-cpu", "litert", "first_h_out", "second_h_out", "state", "output"):
        assert word in out
    assert "not verified on ort-cuda" in err or "ort-cuda" in out
    assert "FAILED" not in out


def test_json_is_all_there_is_on_standard_output(small_bundle, rnn_deploy_verify):
    code, out, _ = rnn_deploy_verify(small_bundle, "--json", "--runtime", "ort-cpu")
    data = json.loads(out)
    assert code == 0
    assert data["passed"] is True
    assert {c["runtime"] for c in data["comparisons"]} == {"ort-cpu"}
    assert {c["kind"] for c in data["comparisons"]} == {"output", "state"}
    assert data["digest"] == open_bundle(small_bundle).digest


@pytest.mark.parametrize("tensor", ["y", "first_h_out", "second_h_out"])
@pytest.mark.parametrize("fault", [1.001, np.nan])
def test_a_fault_ends_with_1_and_names_its_tensor(
    tensor, fault, small_bundle, fake_runtime, rnn_deploy_verify
):
    fake_runtime(lambda name, value: value * np.float32(fault) if name == tensor else value)
    words = (small_bundle, "--runtime", "fake", "--check", "states")
    code, out, err = rnn_deploy_verify(*words)
    assert code == 1
    assert "E-VERIFY-FAILED" in err
    failing = [line for line in out.splitlines() if tensor in line and "│" in line]
    assert failing
    assert all("FAILED" in line for line in failing)
    passing = [line for line in out.splitlines() if "│" in line and tensor not in line]
    assert all("FAILED" not in line for line in passing)
    code, out, _ = rnn_deploy_verify(*words, "--json")
    assert code == 1
    failed = {c["name"] for c in json.loads(out)["comparisons"] if not c["passed"]}
    assert failed == {tensor}


def test_the_fake_without_a_fault_passes(small_bundle, fake_runtime, rnn_deploy_verify):
    fake_runtime(lambda name, value: value)
    code, out, _ = rnn_deploy_verify(small_bundle, "--runtime", "fake", "--check", "states")
    assert (code, out.strip().splitlines()[-1][:7]) == (0, "passed:")


def test_checks_are_chosen(small_bundle, rnn_deploy_verify):
    code, out, _ = rnn_deploy_verify(
        small_bundle, "--check", "states", "--check", "sequence", "--json"
    )
    assert code == 0
    assert {c["check"] for c in json.loads(out)["comparisons"]} == {"states", "sequence"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--check", "spelling"], ("'spelling'", "'sequence', 'states', 'chunked'")),
        (["--runtime", "abacus"], ("'abacus'", "ort-cpu, ort-cuda, litert, openvino-cpu")),
        (["--runtime", ""], ("E-RUNTIME-UNKNOWN", "''")),
        (["--against", "no-such.keras"], ("no-such.keras",)),
        (["--model", "no-such.keras"], ("E-SOURCE-NOT-FOUND", "no-such.keras")),
        (["--atol", "-1e-5"], ("E-VERIFY-TOLERANCE", "--atol -1e-05")),
        (["--rtol", "y=-1"], ("E-VERIFY-TOLERANCE", "--rtol y=-1")),
        (["--atol", "y=much"], ("E-VERIFY-TOLERANCE", "--atol y=much")),
        (["--atol", "1", "--atol", "2"], ("E-OPTION-TWICE", "--atol")),
        (["--atol", "z=1"], ("E-VERIFY-UNKNOWN-TENSOR", "z", "y, first_h_out, second_h_out")),
        (["--quick", "--check", "states"], ("E-OPTION-CONFLICT", "--quick", "--check")),
        (["--threads", "0"], ("E-OPTION-THREADS", "0")),
        (["--model", "m", "--against", "m"], ("E-OPTION-CONFLICT", "--against", "--model")),
        (["--seed", "1"], ("E-OPTION-NEEDS", "--seed", "--against")),
        (["--model", "m", "--seed", "1"], ("E-OPTION-NEEDS", "--seed", "--against")),
        (["--trust-source"], ("E-OPTION-NEEDS", "--trust-source", "--model")),
        (["--frobnicate"], ("--frobnicate",)),
    ],
)
def test_a_mistake_is_one_clear_line(words, expected, small_bundle, rnn_deploy_verify):
    code, out, err = rnn_deploy_verify(small_bundle, *words)
    assert (code, out) == (2, "")
    assert all(word in err for word in expected)


def test_a_bundle_that_is_not_there_or_none_is_reported(tmp_path, rnn_deploy_verify):
    code, out, err = rnn_deploy_verify(tmp_path / "nothing")
    assert (code, out) == (2, "")
    assert "rnn-deploy export" in err
    code, _, err = rnn_deploy_verify(tmp_path)
    assert code == 2
    assert "not a bundle" in err


@pytest.mark.parametrize("name", ["golden.npz", "model.tflite", "stream.onnx"])
def test_one_flipped_bit_is_found(name, small_bundle, rnn_deploy_verify):
    place = small_bundle / name
    content = bytearray(place.read_bytes())
    content[-9] ^= 4
    place.write_bytes(content)
    code, out, err = rnn_deploy_verify(small_bundle)
    assert (code, out) == (2, "")
    assert all(word in err for word in (name, "[E-BUNDLE-ALTERED]"))


def without_cases(root):
    """Leave a bundle no golden vectors, its manifest in order."""
    manifest = open_bundle(root).manifest
    np.savez(root / "golden.npz", source=manifest.source.digest)
    files = tuple(record_of(root, record.path) for record in manifest.files)
    text = json_from_manifest(replace(manifest, files=files))
    (root / "manifest.json").write_text(text, encoding="utf-8")


def test_nothing_to_check_is_no_pass(small_bundle, rnn_deploy_verify):
    without_cases(small_bundle)
    code, out, err = rnn_deploy_verify(small_bundle)
    assert code == 1
    assert NOTHING in out
    assert NOTHING in err


def test_no_runtime_at_all_is_no_pass(small_bundle, monkeypatch, rnn_deploy_verify):
    monkeypatch.setattr(registry, "RUNTIMES", {})
    code, out, err = rnn_deploy_verify(small_bundle)
    assert (code, out) == (3, "")
    assert "no runtime" in err


def test_against_the_model_itself_new_inputs_are_used(small_bundle, small_keras, rnn_deploy_verify):
    words = (small_bundle, "--against", small_keras, "--json", "--runtime", "ort-cpu")
    code, out, _ = rnn_deploy_verify(*words)
    first = json.loads(out)
    assert (code, first["passed"]) == (0, True)
    assert "recomputed" in first["reference"]
    assert {c["kind"] for c in first["comparisons"]} == {"output", "state"}
    code, out, _ = rnn_deploy_verify(*words, "--seed", "5")
    second = json.loads(out)
    assert code == 0
    assert [c["expected"] for c in first["comparisons"]] != [
        c["expected"] for c in second["comparisons"]
    ]


def altered_weight():
    model = small_model()
    weights = model.get_weights()
    weights[4][0, 0] += 1e-3
    model.set_weights(weights)
    return model


@pytest.mark.parametrize("build", [lambda: small_model(seed=1), altered_weight, token_model])
def test_against_another_model_is_refused(build, small_bundle, tmp_path, rnn_deploy_verify):
    build().save(tmp_path / "other.keras")
    code, out, err = rnn_deploy_verify(small_bundle, "--against", tmp_path / "other.keras")
    assert (code, out) == (2, "")
    assert "E-VERIFY-OTHER-MODEL" in err
    assert "small.keras" in err


def test_against_the_weights_in_another_model_is_found(small_bundle, tmp_path, rnn_deploy_verify):
    other = keras.models.clone_model(
        small_model(),
        clone_function=lambda layer: (
            type(layer).from_config(layer.get_config() | {"activation": "relu"})
            if layer.name == "second"
            else type(layer).from_config(layer.get_config())
        ),
    )
    other.set_weights(small_model().get_weights())
    other.save(tmp_path / "other.keras")
    code, out, _ = rnn_deploy_verify(
        small_bundle, "--against", tmp_path / "other.keras", "--runtime", "ort-cpu", "--json"
    )
    assert code == 1
    failed = {c["name"] for c in json.loads(out)["comparisons"] if not c["passed"]}
    assert failed == {"y", "second_h_out"}


@pytest.mark.parametrize("content", ["text", "cut"])
def test_against_what_is_no_model_is_refused(
    content, small_bundle, small_keras, tmp_path, rnn_deploy_verify
):
    place = tmp_path / "bad.keras"
    whole = small_keras.read_bytes()
    place.write_bytes(b"hello" if content == "text" else whole[: len(whole) // 2])
    code, _, err = rnn_deploy_verify(small_bundle, "--against", place)
    assert code == 2
    assert "bad.keras" in err


def test_the_report_is_written_and_never_overwritten_unasked(
    small_bundle, tmp_path, rnn_deploy_verify
):
    place = tmp_path / "report.json"
    words = (small_bundle, "--runtime", "ort-cpu", "--check", "states", "-o", place)
    assert rnn_deploy_verify(*words)[0] == 0
    assert json.loads(place.read_text())["passed"] is True
    place.write_text("mine")
    code, _, err = rnn_deploy_verify(*words)
    assert code == 2
    assert "--force" in err
    assert place.read_text() == "mine"
    assert rnn_deploy_verify(*words, "--force")[0] == 0
    assert json.loads(place.read_text())["passed"] is True


def test_a_failing_report_is_written_too(small_bundle, fake_runtime, tmp_path, rnn_deploy_verify):
    fake_runtime(lambda name, value: value + np.float32(1))
    place = tmp_path / "report.json"
    words = (small_bundle, "--runtime", "fake", "--check", "states", "-o", place)
    assert rnn_deploy_verify(*words)[0] == 1
    assert json.loads(place.read_text())["passed"] is False


def test_a_runtime_that_is_not_here_ends_with_3(small_bundle, rnn_deploy_verify):
    if registry.RUNTIMES["ort-cuda"].why_unavailable() is None:
        pytest.skip("CUDA is here")
    code, out, err = rnn_deploy_verify(small_bundle, "--runtime", "ort-cuda")
    assert (code, out) == (3, "")
    assert "'ort-cuda'" in err
