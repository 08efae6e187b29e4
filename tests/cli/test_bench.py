import json

import numpy as np
import pytest

from rnn_deploy.runtimes import registry
from rnn_deploy.runtimes.fake import FakeRuntime


@pytest.fixture
def bench(command, small_bundle):
    def run(*words, bundle=small_bundle):
        return command("bench", bundle, "--seconds", "0", *words)

    return run


@pytest.mark.parametrize("which", ["small_bundle", "token_bundle"])
def test_every_shape_is_measured_on_every_runtime_here(bench, request, which):
    root = request.getfixturevalue(which)
    ended = bench("--shape", "1x1", "--shape", "3x2", "--json", bundle=root)
    assert ended.code == 0
    facts = json.loads(ended.out)
    pairs = [(fact["shape"], fact["runtime"]) for fact in facts]
    assert {("1x1", "ort-cpu"), ("1x1", "litert"), ("3x2", "ort-cpu"), ("3x2", "litert")} <= {
        *pairs
    }
    assert len(pairs) == len(set(pairs))
    for fact in facts:
        assert 0 < fact["min_us"] <= fact["median_us"] <= fact["p95_us"]


def test_the_shapes_asked_are_those_that_run(bench, monkeypatch):
    seen = set()

    def answer(entry, feeds):
        assert np.isfinite(feeds["x"]).all()
        seen.add(feeds["x"].shape)
        return {}

    monkeypatch.setattr(registry, "RUNTIMES", {"fake": FakeRuntime(answer)})
    ended = bench("--shape", "4x7", "--runtime", "fake")
    assert ended.code == 0
    assert seen == {(4, 7, 3)}
    assert "4x7" in ended.out


def test_only_the_runtimes_named_are_measured(bench):
    ended = bench("--shape", "1x1", "--runtime", "litert", "--json")
    assert {fact["runtime"] for fact in json.loads(ended.out)} == {"litert"}


def test_what_is_left_out_is_said_with_its_reason(bench, monkeypatch):
    class Gone(FakeRuntime):
        def why_unavailable(self):
            return "it went away"

    monkeypatch.setitem(registry.RUNTIMES, "gone", Gone(dict, "gone"))
    assert "not measured on gone: it went away" in bench("--shape", "1x1").err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--shape", "0x1"], 2, "--shape 0x1: expected BATCHxTIME, for instance 32x100"),
        (["--shape", "1x1x1"], 2, "--shape 1x1x1: expected BATCHxTIME"),
        (["--shape", "x"], 2, "--shape x: expected"),
        (["--shape", "1x-1"], 2, "--shape 1x-1: expected"),
        (["--shape", "²x1"], 2, "--shape ²x1: expected"),
        (["--shape", "1x1", "--seconds", "nan"], 2, "--seconds nan: expected a number of seconds"),
        (["--seconds", "inf"], 2, "--seconds inf: expected"),
        (["--seconds", "-1"], 2, "--seconds -1.0: expected"),
        (["--runtime", "zzz"], 2, "no runtime 'zzz'; there are ort-cpu"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_runs(bench, monkeypatch, words, code, message):
    monkeypatch.setattr("rnn_deploy.cli.bench.measure", lambda *args: pytest.fail("it ran"))
    bench(*words).refused(code, message)


def test_a_runtime_that_is_not_here_ends_with_3(bench, monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    bench("--runtime", "ort-cuda").refused(3, "runtime 'ort-cuda': ")


def test_a_bundle_that_is_none_is_refused(bench, tmp_path):
    bench(bundle=tmp_path / "nothing").refused(2, "no such bundle")


def test_an_altered_artifact_is_refused(bench, small_bundle):
    (small_bundle / "model.tflite").write_bytes(b"")
    bench("--shape", "1x1").refused(2, "model.tflite: has 0 bytes")
