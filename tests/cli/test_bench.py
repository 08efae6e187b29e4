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
    results = json.loads(ended.out)["results"]
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
    bench("--plot", place).refused(2, "out.png: exists already; add --force")
    assert place.read_text() == "mine"
    bench("--plot", tmp_path / "out.txt").refused(2, "give a file that ends in .svg, .png")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    bench("--plot", tmp_path / "new.png").refused(3, "pip install 'rnn-deploy[report]'")
    assert asked == []


def test_nothing_measured_is_an_error(bench, asked):
    bench("--shape", "1x1").refused(3, "nothing could be measured: noted")


def test_another_model_than_the_bundle_s_is_refused(bench, tmp_path):
    place = tmp_path / "other.keras"
    small_model(seed=5).save(place)
    words = ["--model", place, "--against", "tf2onnx"]
    bench(*words).refused(2, "other.keras: holds other weights than those")


def test_what_is_left_out_is_said_with_its_reason(bench, monkeypatch):
    class Gone(FakeRuntime):
        def why_unavailable(self):
            return "it went away"

    monkeypatch.setitem(registry.RUNTIMES, "gone", Gone(dict, "gone"))
    assert "not measured: gone: it went away" in bench("--shape", "1x1").err


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
        (["--threads", "0"], 2, "0 threads; give 1 to"),
        (["--against", "tf2onnx"], 2, "--against makes another export of the model; add --model"),
        (["--lowering", "scan"], 2, "--lowering makes another export of the model; add --model"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_runs(bench, asked, words, code, message):
    bench(*words).refused(code, message)
    assert asked == []


def test_a_peer_or_a_lowering_that_there_is_not_is_refused(bench, small_keras):
    bench("--model", small_keras, "--against", "coreml").refused(
        2, "--against coreml: there is no such peer, only tf2onnx, keras-export"
    )
    bench("--model", small_keras, "--lowering", "fast").refused(2, "no lowering 'fast'; there are")


def test_a_runtime_that_is_not_here_ends_with_3(bench, monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    bench("--runtime", "ort-cuda").refused(3, "runtime 'ort-cuda': ")


def test_a_bundle_that_is_none_is_refused(bench, tmp_path):
    bench(bundle=tmp_path / "nothing").refused(2, "no such bundle")


def test_an_altered_artifact_has_no_figures(bench, small_bundle):
    (small_bundle / "model.tflite").write_bytes(b"")
    ended = bench("--shape", "1x1")
    assert ended.code == 0
    assert "no figures of litert at 1x1" in ended.err
    assert "model.tflite: has 0 bytes" in ended.err
