import json
import sys

import pytest

from rnn_deploy.perf.bench.side_by_side import BenchResult
from rnn_deploy.runtimes import registry
from rnn_deploy.runtimes.fake import FakeRuntime
from rnn_deploy.spec.shapes import Shape
from tests.support.models import small_model

FIGURES = ("min_us", "median_us", "p95_us", "startup_ms", "first_ms", "peak_bytes", "per_second")


@pytest.fixture
def bench(command, small_bundle):
    def run(*words, bundle=small_bundle):
        return command("bench", bundle, "--seconds", "0", *words)

    return run


@pytest.fixture
def asked(monkeypatch):
    """What is measured, which then is not."""
    seen = []

    def note(contenders, shapes, entry, **options):
        seen[:] = contenders, shapes
        return [BenchResult(shape, c.name, failure="noted") for shape in shapes for c in contenders]

    monkeypatch.setattr("rnn_deploy.cli.bench.side_by_side", note)
    return seen


@pytest.mark.parametrize("which", ["small_bundle", "token_bundle"])
def test_every_shape_is_measured_on_every_runtime_here(bench, request, which):
    root = request.getfixturevalue(which)
    ended = bench("--shape", "1x1", "--shape", "3x2", "--json", bundle=root)
    assert ended.code == 0
    facts = json.loads(ended.out)
    assert facts["environment"]["ort-cpu"]
    assert "gpu" not in facts["environment"]
    results = facts["results"]
    pairs = [(fact["shape"], fact["contender"]) for fact in results]
    assert {("1x1", "ort-cpu"), ("1x1", "litert"), ("3x2", "ort-cpu"), ("3x2", "litert")} <= {
        *pairs
    }
    assert len(pairs) == len(set(pairs))
    for fact in results:
        assert 0 < fact["min_us"] <= fact["median_us"] <= fact["p95_us"]
        assert all(fact[figure] > 0 for figure in FIGURES)
        assert fact["difference"] is None or fact["difference"] < 1e-5


def test_the_table_names_shapes_and_contenders(bench):
    ended = bench("--shape", "4x7", "--runtime", "ort-cpu", "--runtime", "litert")
    assert ended.code == 0
    assert "batch 4, 7 steps" in ended.out
    assert "ort-cpu" in ended.out
    assert "litert" in ended.out


def test_the_shapes_and_runtimes_asked_are_those_that_run(bench, asked):
    bench("--shape", "4x7", "--runtime", "litert", "--threads", "2")
    (contender,), shapes = asked
    assert (contender.runtime, contender.threads) == ("litert", 2)
    assert shapes == (Shape(4, 7),)


def test_other_lowerings_and_peers_run_beside_the_bundle(bench, small_keras, tmp_path):
    place = tmp_path / "out.svg"
    words = ["--lowering", "scan", "--lowering", "unrolled", "--against", "tf2onnx"]
    words += ["--model", small_keras, "--shape", "2x3", "--runtime", "ort-cpu", "--plot", place]
    ended = bench(*words, "--json")
    assert ended.code == 0
    said = json.loads(ended.out)
    assert [r["contender"] for r in said["results"]] == ["ort-cpu", "ort-cpu, scan", "tf2onnx"]
    assert all(r["difference"] < 1e-5 for r in said["results"][1:])
    (left_out,) = said["left_out"]
    assert left_out["name"] == "unrolled"
    assert "add --time N" in left_out["reason"]
    assert "ort-cpu, scan" in place.read_text(encoding="utf-8")


def test_a_picture_that_is_there_stays(bench, tmp_path, monkeypatch, asked):
    place = tmp_path / "out.png"
    place.write_text("mine")
    bench("--plot", place).refused(2, "E-OPTION-EXISTS", "out.png", "--force")
    assert place.read_text() == "mine"
    bench("--plot", tmp_path / "out.txt").refused(2, "E-OPTION-ENDING", "out.txt", ".svg, .png")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    bench("--plot", tmp_path / "new.png").refused(3, "[report]'", "[E-RUNTIME-MISSING-EXTRA]")
    assert asked == []


def test_nothing_measured_is_an_error(bench, asked):
    bench("--shape", "1x1").refused(3, "E-BENCH-NOTHING", "noted")


def test_another_model_than_the_bundle_s_is_refused(bench, tmp_path):
    place = tmp_path / "other.keras"
    small_model(seed=5).save(place)
    words = ["--model", place, "--against", "tf2onnx"]
    bench(*words).refused(2, "E-VERIFY-OTHER-MODEL", "other.keras")


def test_without_a_runtime_the_reason_of_each_is_shown(bench, monkeypatch):
    gone = FakeRuntime(dict, "gone")
    monkeypatch.setattr(type(gone), "why_unavailable", lambda runtime: "it went away")
    monkeypatch.setattr(registry, "RUNTIMES", {"gone": gone})
    bench().refused(3, "no runtime", "gone: it went away")


def test_what_is_left_out_is_said_with_its_reason(bench, monkeypatch):
    class Gone(FakeRuntime):
        def why_unavailable(self):
            return "it went away"

    monkeypatch.setitem(registry.RUNTIMES, "gone", Gone(dict, "gone"))
    assert "not measured: gone: it went away" in bench("--shape", "1x1").err


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--shape", "0x1"], ["E-OPTION-SHAPE", "--shape 0x1"]),
        (["--shape", "1x1x1"], ["E-OPTION-SHAPE", "--shape 1x1x1"]),
        (["--shape", "x"], ["E-OPTION-SHAPE", "--shape x"]),
        (["--shape", "1x-1"], ["E-OPTION-SHAPE", "--shape 1x-1"]),
        (["--shape", "²x1"], ["E-OPTION-SHAPE", "--shape ²x1"]),
        (["--shape", "1x1", "--seconds", "nan"], ["E-OPTION-SECONDS", "--seconds nan"]),
        (["--seconds", "inf"], ["E-OPTION-SECONDS", "--seconds inf"]),
        (["--seconds", "-1"], ["E-OPTION-SECONDS", "--seconds -1.0"]),
        (["--runtime", "zzz"], ["E-RUNTIME-UNKNOWN", "'zzz'", "ort-cpu"]),
        (["--threads", "0"], ["E-OPTION-THREADS", "0"]),
        (["--against", "tf2onnx"], ["E-OPTION-NEEDS", "--against", "--model"]),
        (["--lowering", "scan"], ["E-OPTION-NEEDS", "--lowering", "--model"]),
    ],
)
def test_a_wrong_option_is_refused_before_anything_runs(bench, asked, words, names):
    bench(*words).refused(2, *names)
    assert asked == []


def test_a_peer_or_a_lowering_that_there_is_not_is_refused(bench, small_keras):
    bench("--model", small_keras, "--against", "coreml").refused(
        2, "E-BENCH-UNKNOWN-PEER", "--against coreml", "tf2onnx, keras-export"
    )
    bench("--model", small_keras, "--lowering", "fast").refused(
        2, "E-EXPORT-LOWERING-UNKNOWN", "--lowering fast", "native, scan"
    )


def test_a_runtime_that_is_not_here_ends_with_3(bench, monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    bench("--runtime", "ort-cuda").refused(3, "E-RUNTIME-UNAVAILABLE", "'ort-cuda'")


def test_a_bundle_that_is_none_is_refused(bench, tmp_path):
    bench(bundle=tmp_path / "nothing").refused(2, "E-BUNDLE-NOT-FOUND", "nothing")


def test_an_altered_artifact_has_no_figures(bench, small_bundle):
    (small_bundle / "model.tflite").write_bytes(b"")
    ended = bench("--shape", "1x1")
    assert ended.code == 0
    assert "not measured: litert at 1x1" in ended.err
    assert "model.tflite: has 0 bytes" in ended.err


def test_advice_names_the_fastest_at_each_shape():
    from types import SimpleNamespace

    from rnn_deploy.cli.bench import advice

    def result(shape, contender, median):
        timing = None if median is None else SimpleNamespace(median_us=median)
        return SimpleNamespace(shape=shape, contender=contender, timing=timing)

    found = [result("1x1", "a", 30.0), result("1x1", "b", 10.0), result("1x9", "a", 10.0)]
    found += [result("1x9", "b", 10.5), result("1x9", "c", None)]
    first, second = advice(found)
    assert "at 1x1 use b, 3.0 times as fast as a" in first
    assert "equally fast" in second
    assert advice(found[:1]) == []
