"""`rnn-deploy run` refuses inputs, bundles and options that do not fit, each in one line."""

import json

import numpy as np
import pytest

from rnn_deploy.bundle.store import MANIFEST

RUNTIMES = ["ort-cpu", "litert"]
ANY = ["--state-any-bundle"]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("way", [[], ["--chunk", 2], ["--batch-size", 1]], ids=lambda way: str(way))
@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (lambda x: {"z": x}, ["E-INPUT-UNKNOWN", "'z'", "'x'", "x float32(batch, time, 3)"]),
        (lambda x: {"x": x, "z": x}, ["E-INPUT-UNKNOWN", "'z'"]),
        (lambda x: {"x": x[0]}, ["E-INPUT-RANK", "(6, 3)", "x[None]"]),
        (lambda x: {"x": x[0, 0, 0]}, ["E-INPUT-RANK", "()"]),
        (lambda x: {"x": x[..., :2]}, ["E-INPUT-SHAPE", "axis 2"]),
        (lambda x: {"x": x.astype("d") + 1e39}, ["E-INPUT-DTYPE", "float64", "1e+39", "'x'"]),
        (lambda x: {"x": np.full_like(x, 2**24 + 1, "i4")}, ["E-INPUT-DTYPE", "int32", "16777217"]),
        (lambda x: {"x": x[:0]}, ["E-INPUT-EMPTY", "(0, 6, 3)", "axis 0"]),
        (lambda x: {"x": x[:, :0]}, ["E-INPUT-EMPTY", "0, 3)", "axis 1"]),
        (lambda x: {"x": np.array("text")}, ["E-INPUT-", "float32(batch, time, 3)", "'x'"]),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    run, snapshot, tmp_path, x, runtime, way, inputs, words
):
    np.savez(tmp_path / "x.npz", **inputs(x))
    before = snapshot()
    run(*way, "--runtime", runtime, "-o", tmp_path / "y.npz").refused(2, *words)
    assert snapshot() == before


@pytest.mark.parametrize("way", [[], ["--chunk", 2], ["--batch-size", 1]], ids=lambda way: str(way))
def test_an_npz_without_arrays_is_refused(run, tmp_path, way):
    np.savez(tmp_path / "x.npz")
    run(*way).refused(2, "E-INPUT-MISSING", "'x'", "x float32(batch, time, 3)")


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_allowed_and_said(run, x, runtime, value):
    spoilt = x.copy()
    spoilt[1, 2, 0] = value
    ended = run("--runtime", runtime, x=spoilt)
    assert ended.code == 0
    (note,) = ended.err.splitlines()
    assert note.startswith("note: input x contains NaN")
    lines = [json.loads(line, parse_constant=pytest.fail) for line in ended.out.splitlines()]
    y = np.array(lines, dtype=np.float64)  # "nan" is read as a number, "nan" it was written
    assert np.isfinite(y[0]).all()
    assert np.isnan(y[1, 2:]).all() == np.isnan(value)


def test_nan_in_a_state_is_said_too(run, tmp_path):
    state = {"first_h_in": np.full((2, 5), np.nan, "f"), "second_h_in": np.zeros((2, 4), "f")}
    np.savez(tmp_path / "s.npz", **state)
    ended = run("--state-in", tmp_path / "s.npz", *ANY)
    (note,) = ended.err.splitlines()
    assert (ended.code, note.startswith("note: input first_h_in contains NaN")) == (0, True)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("text", ["0,7\n", "0,-8\n", "0,2147483647\n"])
@pytest.mark.parametrize("way", [[], ["--chunk", 1]], ids=lambda way: str(way))
def test_a_token_outside_the_vocabulary_is_refused(
    command, token_bundle, tmp_path, runtime, text, way
):
    place = tmp_path / "ids.csv"
    place.write_text(text)
    ended = command("run", token_bundle, "--inputs", place, "--runtime", runtime, *way)
    ended.refused(2, "E-INPUT-VOCABULARY", "'ids'", text[2:].strip(), "0 to 6")


@pytest.mark.parametrize(
    ("text", "word"),
    [("nan,1\n", "nan"), ("1.5,1\n", "1.5"), ("a\n", "no values")],
)
def test_what_is_no_token_is_refused(command, token_bundle, tmp_path, text, word):
    place = tmp_path / "ids.csv"
    place.write_text(text)
    command("run", token_bundle, "--inputs", place).refused(2, "ids.csv", word)


@pytest.mark.parametrize("name", ["gone.npz", "gone.csv", "", "gone"])
def test_a_missing_input_file_is_named(command, small_bundle, tmp_path, name):
    ended = command("run", small_bundle, "--inputs", tmp_path / name)
    ended.refused(2, "E-DATA-NOT-FOUND", str(tmp_path / name))


def test_a_deeply_nested_json_is_refused(command, small_bundle, tmp_path):
    (tmp_path / "x.jsonl").write_text("[" * 100_000)
    ended = command("run", small_bundle, "--inputs", tmp_path / "x.jsonl")
    ended.refused(2, "E-DATA-DAMAGED", "x.jsonl")


@pytest.mark.parametrize(
    ("bundle", "code"),
    [
        ("nothing", "E-BUNDLE-NOT-FOUND"),
        ("x.npz", "E-BUNDLE-NO-MANIFEST"),
        (".", "E-BUNDLE-NO-MANIFEST"),
    ],
)
def test_what_is_no_bundle_is_refused(run, tmp_path, bundle, code):
    run(bundle=tmp_path / bundle).refused(2, code, str(tmp_path / bundle))


ARTIFACTS = [
    ("sequence.onnx", ["--runtime", "ort-cpu"]),
    ("stream.onnx", ["--runtime", "ort-cpu", "--chunk", 2]),
    ("model.tflite", ["--runtime", "litert"]),
    ("model.tflite", ["--runtime", "litert", "--chunk", 2]),
]


@pytest.mark.parametrize(("path", "way"), ARTIFACTS, ids=lambda value: str(value))
@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda content: content[:-1], "E-BUNDLE-ALTERED"),
        (
            lambda content: content[:99] + bytes([content[99] ^ 1]) + content[100:],
            "E-BUNDLE-ALTERED",
        ),
        (lambda content: b"", "E-BUNDLE-ALTERED"),
        (None, "E-BUNDLE-FILE-MISSING"),
    ],
    ids=["cut", "flipped", "empty", "gone"],
)
def test_a_damaged_artifact_is_refused(run, small_bundle, path, way, damage, code):
    place = small_bundle / path
    content = place.read_bytes()
    place.unlink()
    if damage is not None:
        place.write_bytes(damage(content))
    run(*way).refused(2, f"{path}: ", code)


def test_a_damaged_manifest_is_refused(run, small_bundle):
    place = small_bundle / MANIFEST
    place.write_bytes(place.read_bytes()[:-20])
    run().refused(2, "E-BUNDLE-DAMAGED", str(place))


@pytest.mark.parametrize(
    ("way", "code", "message"),
    [
        (
            ["--runtime", "ort-gpu"],
            2,
            "E-RUNTIME-UNKNOWN",
        ),
        (["--threads", 0], 2, "E-OPTION-THREADS"),
        (["--threads", 99999], 2, "E-OPTION-THREADS"),
        (["--option", "x"], 2, "E-OPTION-PAIR"),
        (["--option", "device_id=1"], 2, "ort-cpu has no provider options"),
        (["--runtime", "litert", "--option", "a=b"], 2, "litert has no provider options"),
        (["--batch-size", 1, "--chunk", 2], 2, "E-OPTION-CONFLICT"),
        (["--batch-size", 1, "--state-out", "s.npz"], 2, "E-OPTION-CONFLICT"),
        (["--state-any-bundle"], 2, "E-OPTION-CONFLICT"),
        (["-o", "y.txt"], 2, "E-OPTION-ENDING"),
        (["-o", "a.npz", "--state-out", "a.npz"], 2, "E-OPTION-CONFLICT"),
    ],
)
def test_a_wrong_option_is_refused(run, snapshot, tmp_path, monkeypatch, way, code, message):
    np.savez(tmp_path / "x.npz", x=np.ones((1, 2, 3), "f"))
    monkeypatch.chdir(tmp_path)
    before = snapshot()
    run(*way).refused(code, message)
    assert snapshot() == before


def test_cuda_that_is_not_here_ends_with_3(run, monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    run("--runtime", "ort-cuda").refused(
        3, "E-RUNTIME-UNAVAILABLE", "CUDAExecutionProvider", "[ort-gpu]"
    )


def test_cuda_that_does_not_start_ends_with_3(run, monkeypatch):
    """ONNX Runtime offers CUDA, cannot start it, and gives a session on the CPU."""
    import onnxruntime

    real = onnxruntime.InferenceSession
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)

    def fallen_back(path, settings, providers):
        return real(path, settings, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", fallen_back)
    run("--runtime", "ort-cuda").refused(3, "did not start", "would run on the CPU instead")


def test_recurrent_nodes_on_the_cpu_end_with_3(run, monkeypatch):
    """A real profile: the session claims CUDA, and its nodes ran on the CPU."""
    import onnxruntime

    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]

    class Claiming(onnxruntime.InferenceSession):
        def __init__(self, path, settings, providers):
            super().__init__(path, settings, providers=["CPUExecutionProvider"])

        def get_providers(self):
            return both

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Claiming)
    ended = run("--runtime", "ort-cuda")
    ended.refused(3, "E-PLACEMENT-MISPLACED", "RNN", "on CPUExecutionProvider")
