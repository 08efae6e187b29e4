"""`rnn-deploy stream`."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.bundle.store import MANIFEST

ROOT = Path(rnn_deploy.__file__).parents[1]


@pytest.fixture
def stream(command, monkeypatch, small_bundle):
    """Stream these lines through the small model."""

    def call(text, *words, bundle=small_bundle):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        return command("stream", bundle, *words)

    return call


def lines_of(steps):
    return "".join(json.dumps(step.tolist()) + "\n" for step in steps)


def values(ended):
    assert ended.code == 0, ended.err
    return np.array([json.loads(line) for line in ended.out.splitlines()])


def test_steps_are_what_the_whole_gives(stream, small_bundle, x):
    whole = rnn_deploy.load(small_bundle).predict(x[:1])[0]
    for runtime in ("ort-cpu", "litert"):
        found = values(stream(lines_of(x[0]), "--runtime", runtime))
        assert np.allclose(found, whole, atol=1e-6)


def test_a_stream_goes_on_from_a_saved_state(stream, small_bundle, tmp_path, x):
    whole = rnn_deploy.load(small_bundle).predict(x[:1])[0]
    place = tmp_path / "s.npz"
    first = stream(lines_of(x[0, :2]), "--save", place)
    assert "2 steps" in first.err
    second = stream(lines_of(x[0, 2:3]), "--resume", place, "--save", place)
    last = stream(lines_of(x[0, 3:]), "--resume", place, "--threads", 1)
    found = np.concatenate([values(first), values(second), values(last)])
    assert np.allclose(found, whole, atol=1e-6)


def test_the_state_is_that_of_stream_save_and_of_run(stream, run, small_bundle, tmp_path, x):
    ours, theirs = tmp_path / "ours.npz", tmp_path / "theirs.npz"
    stream(lines_of(x[0]), "--save", ours)
    assert run("--state-out", theirs, x=x[:1]).code == 0
    with np.load(ours) as a, np.load(theirs) as b:
        assert a.files == b.files
        states = [name for name in a.files if "/" not in name]
        assert states
        assert all(np.allclose(a[name], b[name], atol=1e-6) for name in states)
    rnn_deploy.load(small_bundle).stream().restore(ours)


def test_no_line_at_all_saves_the_state_as_it_was(stream, tmp_path):
    ended = stream("", "--save", tmp_path / "s.npz")
    assert (ended.code, ended.out) == (0, "")
    with np.load(tmp_path / "s.npz") as states:
        assert all(not states[n].any() for n in states.files if "/" not in n)


def test_a_malformed_line_ends_it_with_the_state_before(stream, tmp_path, x):
    bad, good = tmp_path / "bad.npz", tmp_path / "good.npz"
    assert stream(lines_of(x[0, :2]), "--save", good).code == 0
    ended = stream(lines_of(x[0, :2]) + "[1, 2]\n", "--save", bad)
    assert ended.code == 2
    assert len(ended.out.splitlines()) == 2
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "line 3: " in errors[0]
    assert "E-DATA-LINE" in errors[0]
    with np.load(bad) as a, np.load(good) as b:
        assert all(np.array_equal(a[name], b[name]) for name in b.files)


def test_what_only_the_model_can_refuse_names_its_line_too(stream, token_bundle):
    ended = stream("1\n2\n7\n", bundle=token_bundle)
    assert ended.code == 2
    assert "line 3: " in ended.err
    assert "E-INPUT-VOCABULARY" in ended.err


def test_a_state_of_another_model_is_refused(stream, small_bundle, tmp_path):
    place = tmp_path / "s.npz"
    stream("[1, 2, 3]\n", "--save", place)
    manifest = small_bundle / MANIFEST
    data = json.loads(manifest.read_text())
    data["source"]["digest"] = "0" * 64
    manifest.write_text(json.dumps(data))
    new = tmp_path / "new.npz"
    ended = stream("[1, 2, 3]\n", "--resume", place, "--save", new)
    ended.refused(2, "E-STATE-OTHER-BUNDLE", "s.npz")
    assert not new.exists()
    assert stream("[1, 2, 3]\n", "--resume", place, "--state-any-bundle").code == 0


def test_a_file_is_replaced_only_with_force(stream, tmp_path):
    place = tmp_path / "s.npz"
    place.write_text("mine")
    ended = stream("[1, 2, 3]\n", "--save", place)
    ended.refused(2, "E-OPTION-EXISTS", "--force")
    assert place.read_text() == "mine"
    assert stream("[1, 2, 3]\n", "--save", place, "--force").code == 0


def test_wrong_words_are_refused(stream, tmp_path, command, monkeypatch):
    stream("", "--state-any-bundle").refused(2, "E-OPTION-NEEDS", "--resume")
    stream("", "--top", 2).refused(2, "E-OPTION-NEEDS", "--labels")
    stream("", "--resume", tmp_path / "none.npz").refused(2, "E-STATE-UNREADABLE")
    monkeypatch.setattr(sys, "stdin", None)
    command("stream", "b").refused(2, "E-OPTION-NO-INPUT")


def test_nan_is_noted_once(stream):
    ended = stream('[1, 2, 3]\n["nan", 0, 0]\n["inf", 0, 0]\n')
    assert ended.code == 0
    assert ended.err.count("line 2 ") == 1
    assert "line 3 " not in ended.err


def _process(bundle, *words, **pipes):
    command = [sys.executable, "-m", "rnn_deploy", "stream", str(bundle), *map(str, words)]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **pipes,
    )


def _state_after(stream, place, count):
    assert stream("[1, 2, 3]\n" * count, "--save", place, "--runtime", "ort-cpu").code == 0
    with np.load(place) as states:
        return {name: states[name] for name in states.files if "/" not in name}


def _assert_state(place, expected):
    with np.load(place) as states:
        for name, value in expected.items():
            assert np.array_equal(states[name], value)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_state_after_the_last_line(stream, small_bundle, tmp_path, number):
    place = tmp_path / "s.npz"
    process = _process(small_bundle, "--save", place, "--runtime", "ort-cpu")
    process.stdin.write(b"[1, 2, 3]\n" * 5 + b"[1, ")
    process.stdin.flush()
    for _ in range(5):  # each line comes while the stream is open
        assert process.stdout.readline()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (128 + number, b"")
    assert b"5 steps" in err
    assert b"Traceback" not in err
    _assert_state(place, _state_after(stream, tmp_path / "expected.npz", 5))
    assert sorted(p.name for p in tmp_path.glob("*.npz")) == ["expected.npz", "s.npz"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_a_signal_in_the_middle_of_many_steps_saves_what_was_written(
    stream, small_bundle, tmp_path
):
    place = tmp_path / "s.npz"
    source = tmp_path / "lines"
    source.write_bytes(b"[1, 2, 3]\n" * 500_000)
    with source.open("rb") as lines, (tmp_path / "out").open("wb") as out:
        words = [sys.executable, "-m", "rnn_deploy", "stream", str(small_bundle)]
        process = subprocess.Popen(
            [*words, "--save", str(place), "--runtime", "ort-cpu"],
            stdin=lines,
            stdout=out,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        while (tmp_path / "out").stat().st_size < 2000:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    text = (tmp_path / "out").read_text()
    assert text.endswith("\n")
    _assert_state(place, _state_after(stream, tmp_path / "expected.npz", text.count("\n")))


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of Unix")
def test_a_closed_pipe_saves_the_state(stream, small_bundle, tmp_path):
    place = tmp_path / "s.npz"
    process = _process(small_bundle, "--save", place, "--runtime", "ort-cpu")
    process.stdin.write(b"[1, 2, 3]\n")
    process.stdin.flush()
    assert process.stdout.readline()
    process.stdout.close()
    process.stdin.write(b"[1, 2, 3]\n" * 3)
    process.stdin.close()
    err = process.stderr.read()
    assert process.wait(timeout=30) == 141
    assert b"1 step" in err
    process.stderr.close()
    _assert_state(place, _state_after(stream, tmp_path / "expected.npz", 1))


def test_a_full_disk_keeps_the_state_before(stream, small_bundle, tmp_path, disk_of):
    place = tmp_path / "s.npz"
    assert stream("[1, 2, 3]\n", "--save", place).code == 0
    before = place.read_bytes()
    with disk_of(100):
        ended = stream("[1, 2, 3]\n", "--resume", place, "--save", place)
    assert ended.code == 2
    assert place.read_bytes() == before
