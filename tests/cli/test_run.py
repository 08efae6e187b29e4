"""`rnn-deploy run`: what it computes, what it writes, and everything it refuses."""

import json
import subprocess
import sys

import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.bundle import read_cases
from rnn_deploy.bundle.store import MANIFEST
from tests.support.models import randomised

RUNTIMES = ["ort-cpu", "litert"]


@pytest.fixture(scope="module")
def backwards_bundle(tmp_path_factory):
    """A bundle of a model whose chunks do not give the whole: it reads the sequence backwards."""
    import keras

    x = keras.Input((None, 3), name="x")
    y = keras.layers.SimpleRNN(2, go_backwards=True, return_sequences=True, name="y")(x)
    place = tmp_path_factory.mktemp("backwards") / "b"
    return rnn_deploy.export(randomised(keras.Model(x, y)), place, to=("onnx",)).root


@pytest.fixture
def run(command, small_bundle, tmp_path, x):
    """Run the small model on x with these words, and on nothing else unless given."""

    def call(*words, bundle=small_bundle, **inputs):
        place = tmp_path / "x.npz"
        if not place.exists():
            np.savez(place, **(inputs or {"x": x}))
        return command("run", bundle, "--inputs", place, *words)

    return call


def _load(place):
    with np.load(place) as file:
        return dict(file)


def _assert_close(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=0, atol=2e-6, strict=True)


# What it computes


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_outputs_are_those_of_keras(command, small_bundle, tmp_path, runtime):
    case = next(c for c in read_cases(small_bundle / "golden.npz") if c.name == "n3t5")
    np.save(tmp_path / "x.npy", case.feeds["x"])
    words = ("--inputs", tmp_path / "x.npy", "-o", tmp_path / "y.npz", "--runtime", runtime)
    ended = command("run", small_bundle, *words)
    assert (ended.code, ended.out) == (0, "")
    assert "y (3, 5, 2)" in ended.err
    _assert_close(_load(tmp_path / "y.npz"), {"y": case.truth["y"].astype("f")})


@pytest.mark.parametrize("ending", [".npz", ".npy", ".jsonl"])
def test_every_ending_holds_what_python_gives(run, small_bundle, tmp_path, x, ending):
    expected = rnn_deploy.load(small_bundle).predict(x)
    place = tmp_path / f"y{ending}"
    assert run("-o", place).code == 0
    read = {
        ".npz": lambda: _load(place)["y"],
        ".npy": lambda: np.load(place),
        ".jsonl": lambda: np.array([json.loads(li) for li in place.read_text().splitlines()], "f"),
    }
    np.testing.assert_array_equal(read[ending](), expected, strict=True)


def test_without_output_the_lines_on_standard_output_are_data_and_nothing_else(run, x):
    ended = run()
    assert (ended.code, ended.err) == (0, "")
    assert np.array([json.loads(line) for line in ended.out.splitlines()]).shape == (2, 6, 2)


def test_csv_in_and_out(command, small_bundle, tmp_path, x):
    np.savetxt(tmp_path / "x.csv", x[0], delimiter=",", header="a,b,c", comments="", fmt="%.9g")
    place = tmp_path / "y.csv"
    assert command("run", small_bundle, "--inputs", tmp_path / "x.csv", "-o", place).code == 0
    y = np.loadtxt(place, delimiter=",", dtype="f")
    np.testing.assert_array_equal(y, rnn_deploy.load(small_bundle).predict(x[:1])[0], strict=True)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("words", [["--batch-size", 1], ["--threads", 1], ["--chunk", 4]])
def test_batches_threads_and_chunks_do_not_change_the_answer(run, tmp_path, runtime, words):
    run("-o", tmp_path / "plain.npz", "--runtime", runtime)
    assert run("-o", tmp_path / "other.npz", "--runtime", runtime, *words).code == 0
    _assert_close(_load(tmp_path / "other.npz"), _load(tmp_path / "plain.npz"))


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("chunk", [[], ["--chunk", 1]])
@pytest.mark.parametrize("cut", [1, 4])
def test_two_calls_with_the_state_in_files_are_one_call(
    command, small_bundle, tmp_path, x, runtime, chunk, cut
):
    def run(name, part, *words):
        np.save(tmp_path / f"{name}.npy", part)
        words = ("-o", tmp_path / f"{name}.npz", "--runtime", runtime, *words)
        assert command("run", small_bundle, "--inputs", tmp_path / f"{name}.npy", *words).code == 0
        return _load(tmp_path / f"{name}.npz")["y"]

    state, last, whole_state = (tmp_path / f"{n}_state.npz" for n in ("first", "last", "whole"))
    whole = run("whole", x, "--state-out", whole_state)
    first = run("one", x[:, :cut], "--state-out", state, *chunk)
    second = run("two", x[:, cut:], "--state-in", state, "--state-out", last, *chunk)
    joined = np.concatenate([first, second], axis=1)
    _assert_close({"y": joined}, {"y": whole})
    _assert_close(_load(last), _load(whole_state))
    forgotten = run("forgotten", x[:, cut:])
    assert not np.allclose(forgotten, second, rtol=0, atol=1e-3)


def test_the_state_is_that_of_keras(command, small_bundle, tmp_path):
    case = next(c for c in read_cases(small_bundle / "golden.npz") if c.name == "n3t6state")
    entering = {n: v for n, v in case.feeds.items() if n != "x"}
    np.savez(tmp_path / "in.npz", **entering)
    np.save(tmp_path / "x.npy", case.feeds["x"])
    words = ("--state-in", tmp_path / "in.npz", "--state-out", tmp_path / "out.npz")
    assert command("run", small_bundle, "--inputs", tmp_path / "x.npy", *words).code == 0
    expected = {name: case.truth[name.replace("_in", "_out")].astype("f") for name in entering}
    _assert_close(_load(tmp_path / "out.npz"), expected)


# Bad input


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("way", [[], ["--chunk", 2], ["--batch-size", 1]], ids=lambda way: str(way))
@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (lambda x: {"z": x}, ["unknown 'z', missing 'x'", "takes x float32(batch, time, 3)"]),
        (lambda x: {"x": x, "z": x}, ["unknown 'z'"]),
        (lambda x: {"x": x[0]}, ["found 2 dimensions (6, 3)", "x[None]"]),
        (lambda x: {"x": x[0, 0, 0]}, ["found 0 dimensions ()"]),
        (lambda x: {"x": x[..., :2]}, ["2): axis 2 must be 3"]),
        (lambda x: {"x": x.astype("d")}, ["found float64; convert it: np.asarray(x, 'float32')"]),
        (lambda x: {"x": x.astype("i4")}, ["found int32"]),
        (lambda x: {"x": x.astype(">f4")}, ["found >f4"]),
        (lambda x: {"x": x[:0]}, ["(0, 6, 3): axis 0 is empty; give at least one"]),
        (lambda x: {"x": x[:, :0]}, ["0, 3): axis 1 is empty; give at least one"]),
        (lambda x: {"x": np.array("text")}, ["input 'x' takes float32(batch, time, 3)"]),
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
    run(*way).refused(2, "missing 'x'", "takes x float32(batch, time, 3)")


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_allowed_and_said(run, x, runtime, value):
    spoilt = x.copy()
    spoilt[1, 2, 0] = value
    ended = run("--runtime", runtime, x=spoilt)
    assert ended.code == 0
    assert ended.err == "note: input x holds NaN or infinity; the outputs follow from it\n"
    lines = [json.loads(line, parse_constant=pytest.fail) for line in ended.out.splitlines()]
    y = np.array(lines, dtype=np.float64)  # "nan" is read as a number, "nan" it was written
    assert np.isfinite(y[0]).all()
    assert np.isnan(y[1, 2:]).all() == np.isnan(value)


def test_nan_in_a_state_is_said_too(run, tmp_path):
    state = {"first_h_in": np.full((2, 5), np.nan, "f"), "second_h_in": np.zeros((2, 4), "f")}
    np.savez(tmp_path / "s.npz", **state)
    ended = run("--state-in", tmp_path / "s.npz")
    assert (ended.code, ended.err.splitlines()) == (
        0,
        ["note: input first_h_in holds NaN or infinity; the outputs follow from it"],
    )


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("text", ["0,7\n", "0,-8\n", "0,2147483647\n"])
@pytest.mark.parametrize("way", [[], ["--chunk", 1]], ids=lambda way: str(way))
def test_a_token_outside_the_vocabulary_is_refused(
    command, token_bundle, tmp_path, runtime, text, way
):
    place = tmp_path / "ids.csv"
    place.write_text(text)
    ended = command("run", token_bundle, "--inputs", place, "--runtime", runtime, *way)
    ended.refused(2, f"'ids' holds the id {text[2:].strip()}", "vocabulary has ids 0 to 6")


@pytest.mark.parametrize(
    ("text", "word"),
    [("nan,1\n", "found nan"), ("1.5,1\n", "found 1.5"), ("a\n", "no val")],
)
def test_what_is_no_token_is_refused(command, token_bundle, tmp_path, text, word):
    place = tmp_path / "ids.csv"
    place.write_text(text)
    command("run", token_bundle, "--inputs", place).refused(2, "ids.csv", word)


@pytest.mark.parametrize("name", ["gone.npz", "gone.csv", "", "gone"])
def test_a_missing_input_file_is_named(command, small_bundle, tmp_path, name):
    ended = command("run", small_bundle, "--inputs", tmp_path / name)
    ended.refused(2, f"{tmp_path / name}: no such file; inputs are a file ending in .npz, .npy")


def test_a_deeply_nested_json_is_refused(command, small_bundle, tmp_path):
    (tmp_path / "x.jsonl").write_text("[" * 100_000)
    ended = command("run", small_bundle, "--inputs", tmp_path / "x.jsonl")
    ended.refused(2, "x.jsonl: cannot be read as .jsonl")


@pytest.mark.parametrize(
    ("bundle", "message"),
    [
        ("nothing", "no such bundle; make one with: rnn-deploy export MODEL -o"),
        ("x.npz", "not a bundle, it has no manifest.json"),
        (".", "not a bundle, it has no manifest.json"),
    ],
)
def test_what_is_no_bundle_is_refused(run, tmp_path, bundle, message):
    run(bundle=tmp_path / bundle).refused(2, message)


ARTIFACTS = [
    ("sequence.onnx", ["--runtime", "ort-cpu"]),
    ("stream.onnx", ["--runtime", "ort-cpu", "--chunk", 2]),
    ("model.tflite", ["--runtime", "litert"]),
    ("model.tflite", ["--runtime", "litert", "--chunk", 2]),
]


@pytest.mark.parametrize(("path", "way"), ARTIFACTS, ids=lambda value: str(value))
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-1], "it was cut or altered, export the model again"),
        (lambda content: content[:99] + bytes([content[99] ^ 1]) + content[100:], "SHA-256"),
        (lambda content: b"", "has 0 bytes"),
        (None, "the manifest lists this file and it is missing"),
    ],
    ids=["cut", "flipped", "empty", "gone"],
)
def test_a_damaged_artifact_is_refused(run, small_bundle, path, way, damage, message):
    place = small_bundle / path
    content = place.read_bytes()
    place.unlink()
    if damage is not None:
        place.write_bytes(damage(content))
    run(*way).refused(2, f"{path}: ", message)


def test_a_damaged_manifest_is_refused(run, small_bundle):
    place = small_bundle / MANIFEST
    place.write_bytes(place.read_bytes()[:-20])
    run().refused(2, "/small: manifest.json is damaged", "export the model again")


@pytest.mark.parametrize(
    ("way", "code", "message"),
    [
        (
            ["--runtime", "ort-gpu"],
            2,
            "no runtime 'ort-gpu'; there are ort-cpu, ort-cuda, litert, openvino-cpu",
        ),
        (["--threads", 0], 2, "0 threads; give 1 to 256, or leave it out"),
        (["--threads", 99999], 2, "99999 threads; give 1 to 256"),
        (["--option", "x"], 2, "--option x: expected KEY=VALUE"),
        (["--option", "device_id=1"], 2, "ort-cpu has no provider options"),
        (["--runtime", "litert", "--option", "a=b"], 2, "litert has no provider options"),
        (["--batch-size", 1, "--chunk", 2], 2, "--batch-size does not go with --chunk"),
        (["--batch-size", 1, "--state-out", "s.npz"], 2, "--batch-size does not go with"),
        (["-o", "y.txt"], 2, "y.txt: outputs must end in .npz"),
        (["-o", "a.npz", "--state-out", "a.npz"], 2, "is both -o and --state-out"),
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
    run("--runtime", "ort-cuda").refused(3, "no CUDAExecutionProvider", "rnn-deploy[ort-gpu]")


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
    ended.refused(3, "placed recurrent nodes elsewhere: RNN", "on CPUExecutionProvider")


# States


STATE = {"first_h_in": np.ones((2, 5), "f"), "second_h_in": np.ones((2, 4), "f")}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("way", [[], ["--chunk", 2]], ids=lambda way: str(way))
@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"rnn_h_in": np.ones((2, 4), "f")}, "s.npz: holds ['rnn_h_in'], the model's states are"),
        ({}, "s.npz: holds [], the model's states are ['first_h_in', 'second_h_in']"),
        ({"first_h_in": STATE["first_h_in"]}, "s.npz: holds ['first_h_in'], the model's"),
        (STATE | {"first_h_in": np.ones((3, 5), "f")}, "'first_h_in' takes float32(batch, 5), fou"),
        (STATE | {"second_h_in": np.ones((2, 5), "f")}, "'second_h_in' takes float32(batch, 4), f"),
        (STATE | {"second_h_in": np.ones((2, 4))}, "found float64; convert it"),
    ],
)
def test_a_state_of_another_model_is_refused(run, tmp_path, runtime, way, state, message):
    np.savez(tmp_path / "s.npz", **state)
    run("--runtime", runtime, "--state-in", tmp_path / "s.npz", *way).refused(2, message)


@pytest.mark.parametrize("kind", ["missing", "text", "npy", "folder"])
def test_a_file_that_is_no_state_is_refused(run, tmp_path, kind):
    place = tmp_path / "s.npz"
    if kind == "text":
        place.write_text("state")
    if kind == "npy":
        with place.open("wb") as file:
            np.save(file, np.ones(3))
    if kind == "folder":
        place.mkdir()
    message = (
        "is not an .npz file" if kind in ("text", "npy") else "no such file; give an .npz file"
    )
    run("--state-in", place).refused(2, f"s.npz: {message}")


@pytest.mark.parametrize("chunk", [1, 2, 99])
def test_chunks_that_do_not_give_the_whole_are_refused(run, backwards_bundle, chunk):
    ended = run("--chunk", chunk, bundle=backwards_bundle)
    ended.refused(2, "cannot be run in chunks", "differs from that of its chunks", "run it whole")


def test_the_same_model_runs_whole(run, backwards_bundle):
    assert run(bundle=backwards_bundle).code == 0


# What is there before is still there


@pytest.mark.parametrize("option", ["-o", "--state-out"])
def test_an_output_that_exists_is_replaced_only_by_force(run, snapshot, tmp_path, option):
    place = tmp_path / "y.npz"
    place.write_text("mine")
    np.savez(tmp_path / "x.npz", x=np.ones((1, 2, 3), "f"))
    before = snapshot()
    run(option, place).refused(2, "y.npz: exists already; add --force to replace it")
    assert snapshot() == before
    assert run(option, place, "--force").code == 0
    assert snapshot().keys() == before.keys()
    assert _load(place)


@pytest.mark.parametrize("option", ["-o", "--state-out"])
def test_a_folder_is_never_replaced_by_a_file(run, snapshot, tmp_path, option):
    (tmp_path / "y.npz").mkdir()
    (tmp_path / "y.npz" / "diary.txt").write_text("dear diary")
    np.savez(tmp_path / "x.npz", x=np.ones((1, 2, 3), "f"))
    before = snapshot()
    run(option, tmp_path / "y.npz", "--force").refused(2, "y.npz: is a folder")
    assert snapshot() == before


@pytest.mark.parametrize("option", ["-o", "--state-out"])
def test_a_place_below_a_file_is_refused(run, snapshot, tmp_path, option):
    np.savez(tmp_path / "x.npz", x=np.ones((1, 2, 3), "f"))
    before = snapshot()
    run(option, tmp_path / "x.npz" / "y.npz").refused(2, "x.npz", "nothing was changed")
    assert snapshot() == before


def test_outputs_that_cannot_be_written_leave_the_state_as_it_was(run, snapshot, tmp_path):
    (tmp_path / "s.npz").write_text("the state of yesterday")
    np.savez(tmp_path / "x.npz", x=np.ones((2, 2, 3), "f"))
    before = snapshot()
    ended = run("-o", tmp_path / "y.csv", "--state-out", tmp_path / "s.npz", "--force")
    ended.refused(2, "a .csv holds one sequence, the output is (2, 2, 2); use .npz")
    assert snapshot() == before


@pytest.mark.parametrize("ending", [".npz", ".npy", ".csv", ".jsonl"])
@pytest.mark.parametrize(("steps", "fits"), [(200, "nothing"), (1, "the outputs")])
def test_a_full_disk_leaves_everything_as_it_was(
    run, snapshot, disk_of, tmp_path, ending, steps, fits
):
    for name in (f"y{ending}", "s.npz"):
        (tmp_path / name).write_text("of yesterday")
    np.savez(tmp_path / "x.npz", x=np.ones((1, steps, 3), "f"))
    before = snapshot()
    words = ("-o", tmp_path / f"y{ending}", "--state-out", tmp_path / "s.npz", "--force")
    with disk_of(400):  # bytes: less than the state's file
        ended = run(*words)
    ended.refused(2, "File too large", "nothing was changed")
    assert snapshot() == before
    assert run(*words).code == 0
    sizes = [(tmp_path / name).stat().st_size for name in (f"y{ending}", "s.npz")]
    assert sizes[1] > 400
    assert (sizes[0] > 400) == (fits == "nothing")


def test_a_full_disk_in_a_process_of_its_own(small_bundle, tmp_path, snapshot):
    np.savez(tmp_path / "x.npz", x=np.ones((1, 30, 3), "f"))
    (tmp_path / "y.npz").write_text("of yesterday")
    before = snapshot()
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "from rnn_deploy.cli import main; main(sys.argv[1:])"
    )
    words = ["run", small_bundle, "--inputs", tmp_path / "x.npz", "-o", tmp_path / "y.npz"]
    ended = subprocess.run(
        [sys.executable, "-B", "-c", code, *map(str, words), "--force"],
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert line.endswith("File too large; nothing was changed")
    assert snapshot() == before


def test_a_state_that_is_given_twice_is_refused(run, tmp_path, x):
    state = {"first_h_in": np.ones((2, 5), "f"), "second_h_in": np.ones((2, 4), "f")}
    np.savez(tmp_path / "s.npz", **state)
    ended = run("--state-in", tmp_path / "s.npz", x=x, first_h_in=state["first_h_in"])
    ended.refused(2, "'first_h_in' is in --inputs and in --state-in; leave one out")
