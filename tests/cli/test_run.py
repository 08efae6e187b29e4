"""`rnn-deploy run`: what it computes and writes, the states it takes, what it keeps."""

import json
import subprocess
import sys

import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.bundle import read_cases
from rnn_deploy.bundle.state_files import OWNER
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


def _load(place):
    with np.load(place) as file:
        return dict(file)


def _load_states(place):
    """The states of a file, without what they belong to."""
    return {name: value for name, value in _load(place).items() if name != OWNER}


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
    _assert_close(_load_states(last), _load_states(whole_state))
    forgotten = run("forgotten", x[:, cut:])
    assert not np.allclose(forgotten, second, rtol=0, atol=1e-3)


def test_the_state_is_that_of_keras(command, small_bundle, tmp_path):
    case = next(c for c in read_cases(small_bundle / "golden.npz") if c.name == "n3t6state")
    entering = {n: v for n, v in case.feeds.items() if n != "x"}
    np.savez(tmp_path / "in.npz", **entering)
    np.save(tmp_path / "x.npy", case.feeds["x"])
    words = ("--state-in", tmp_path / "in.npz", *ANY, "--state-out", tmp_path / "out.npz")
    assert command("run", small_bundle, "--inputs", tmp_path / "x.npy", *words).code == 0
    expected = {name: case.truth[name.replace("_in", "_out")].astype("f") for name in entering}
    _assert_close(_load_states(tmp_path / "out.npz"), expected)


# States


ANY = ("--state-any-bundle",)
STATE = {"first_h_in": np.ones((2, 5), "f"), "second_h_in": np.ones((2, 4), "f")}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("way", [[], ["--chunk", 2]], ids=lambda way: str(way))
@pytest.mark.parametrize(
    ("state", "names"),
    [
        ({"rnn_h_in": np.ones((2, 4), "f")}, ["E-STATE-NAMES", "s.npz", "rnn_h_in", "first_h_in"]),
        ({}, ["E-STATE-NAMES", "s.npz", "first_h_in, second_h_in"]),
        ({"first_h_in": STATE["first_h_in"]}, ["E-STATE-NAMES", "s.npz", "second_h_in"]),
        (STATE | {"first_h_in": np.ones((3, 5), "f")}, ["'first_h_in'", "float32(batch, 5)"]),
        (STATE | {"second_h_in": np.ones((2, 5), "f")}, ["'second_h_in'", "float32(batch, 4)"]),
        (STATE | {"second_h_in": np.ones((2, 4))}, ["'second_h_in'", "float64"]),
    ],
)
def test_a_state_that_does_not_fit_is_refused(run, tmp_path, runtime, way, state, names):
    np.savez(tmp_path / "s.npz", **state)
    run("--runtime", runtime, "--state-in", tmp_path / "s.npz", *ANY, *way).refused(2, *names)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("way", [[], ["--chunk", 2]], ids=lambda way: str(way))
def test_a_state_of_another_model_of_the_same_shapes_is_refused(
    run, small_bundle, tmp_path, runtime, way
):
    place = tmp_path / "s.npz"
    assert run("--state-out", place).code == 0
    assert run("--state-in", place, "--runtime", runtime, *way).code == 0
    manifest = small_bundle / MANIFEST
    data = json.loads(manifest.read_text())
    data["source"]["digest"] = "0" * 64
    manifest.write_text(json.dumps(data))
    words = ("--state-in", place, "--runtime", runtime, *way)
    run(*words).refused(2, "E-STATE-OTHER-BUNDLE", "s.npz", "000000", "--state-any-bundle")
    assert run(*words, *ANY).code == 0


def test_arrays_that_name_no_model_are_refused(run, tmp_path):
    np.savez(tmp_path / "s.npz", **STATE)
    ended = run("--state-in", tmp_path / "s.npz")
    ended.refused(2, "E-STATE-NO-OWNER", "s.npz", "--state-any-bundle")


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
    run("--state-in", place).refused(2, "E-STATE-UNREADABLE", "s.npz")


@pytest.mark.parametrize("chunk", [1, 2, 99])
def test_chunks_that_do_not_give_the_whole_are_refused(run, backwards_bundle, chunk):
    ended = run("--chunk", chunk, bundle=backwards_bundle)
    ended.refused(2, "E-STATE-NOT-CHUNKED", "--chunk")


@pytest.mark.parametrize("option", ["--state-in", "--state-out"])
def test_the_state_of_such_a_model_is_not_carried(option, run, backwards_bundle, tmp_path):
    ended = run(option, tmp_path / "s.npz", bundle=backwards_bundle)
    ended.refused(2, "E-STATE-NOT-CHUNKED", option)
    assert not (tmp_path / "s.npz").exists()


def test_verify_says_first_that_such_a_model_must_not_be_streamed(command, backwards_bundle):
    ended = command("verify", backwards_bundle, "--runtime", "ort-cpu", "--check", "states")
    assert ended.code == 0
    assert ended.out.startswith("do not stream this model: ")


def test_the_same_model_runs_whole(run, backwards_bundle):
    assert run(bundle=backwards_bundle).code == 0


# What is there before is still there


@pytest.mark.parametrize("option", ["-o", "--state-out"])
def test_an_output_that_exists_is_replaced_only_by_force(run, snapshot, tmp_path, option):
    place = tmp_path / "y.npz"
    place.write_text("mine")
    np.savez(tmp_path / "x.npz", x=np.ones((1, 2, 3), "f"))
    before = snapshot()
    run(option, place).refused(2, "E-OPTION-EXISTS", "y.npz", "--force")
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
    run(option, tmp_path / "y.npz", "--force").refused(2, "E-OPTION-NOT-REPLACED", "y.npz")
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
    ended.refused(2, "E-DATA-CSV-SHAPE", "(2, 2, 2)")
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
    ended = run("--state-in", tmp_path / "s.npz", *ANY, x=x, first_h_in=state["first_h_in"])
    ended.refused(2, "E-INPUT-TWICE", "'first_h_in'")
