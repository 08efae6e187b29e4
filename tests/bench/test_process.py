"""A contender in a process of its own: what it answers, and every way in which it can fail."""

import numpy as np
import pytest

from rnn_deploy.bench import process
from rnn_deploy.bench.contender import Contender, contender_from, data_from, of_bundle
from rnn_deploy.bench.opening import renamed
from rnn_deploy.bench.process import Worker, WorkerError
from rnn_deploy.runtimes.model import load
from rnn_deploy.shapes import Shape


@pytest.fixture
def fed(tmp_path, x):
    """The places of the feeds and of the outputs."""
    np.savez(tmp_path / "feeds.npz", x=x)
    return tmp_path / "feeds.npz", tmp_path / "outputs.npz"


def test_a_bundle_is_loaded_called_and_timed(small_bundle, fed, x):
    with Worker(of_bundle(small_bundle, "ort-cpu", 1)) as worker:
        assert worker.first(*fed) > 0
        taken = worker.calls(5)
        assert len(taken) == 5
        assert min(taken) > 0
        assert worker.startup_ns > max(taken)
        assert 10e6 < worker.peak_bytes() < 1e9
    with np.load(fed[1]) as outputs:
        assert np.array_equal(outputs["arr_0"], load(small_bundle, "ort-cpu").predict(x))


def test_what_a_runtime_refuses_is_said(small_bundle, fed, x):
    np.savez(fed[0], x=x[:, :, :2])
    with Worker(of_bundle(small_bundle, "ort-cpu", None)) as worker:
        with pytest.raises(WorkerError, match=r"input 'x' takes float32\(batch, time, 3\)"):
            worker.first(*fed)
        np.savez(fed[0], x=x)
        assert worker.first(*fed) > 0  # it goes on


def test_what_cannot_be_loaded_is_said(tmp_path):
    with pytest.raises(WorkerError, match="not a bundle"):
        Worker(of_bundle(tmp_path, "ort-cpu", None))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.abort()", "^crashed with SIGABRT$"),
        ("raise SystemError('it broke')", "^ended with exit code 1: SystemError: it broke$"),
        ("import time; time.sleep(60)", r"^gave no answer within 0\.3 s$"),
    ],
)
def test_a_process_that_dies_or_hangs_is_an_error_of_this_one(monkeypatch, code, message):
    monkeypatch.setattr(process, "COMMAND", (process.sys.executable, "-c", code))
    limit = 0.3 if "sleep" in code else 60
    with pytest.raises(WorkerError, match=message):
        Worker(Contender("c", "onnx", "nowhere"), limit=limit)


def test_what_native_code_writes_to_standard_output_is_no_answer(tmp_path, monkeypatch):
    noisy = "import os, runpy; os.write(2, b'x'); runpy.run_module('rnn_deploy.bench.worker', "
    noisy += "run_name='__main__', alter_sys=True)"
    monkeypatch.setattr(process, "COMMAND", (process.sys.executable, "-c", noisy))
    with pytest.raises(WorkerError, match="not a bundle"):
        Worker(of_bundle(tmp_path, "ort-cpu", None))


def test_a_contender_travels_as_data():
    contender = Contender("a", "tflite", "p", threads=2, only=Shape(3, 4))
    assert contender_from(data_from(contender)) == contender


def test_a_peer_s_inputs_are_known_by_name_or_by_place():
    feeds = {"a": np.zeros(1), "b": np.ones(1)}
    assert renamed(feeds, ["b", "a"]) == feeds
    assert renamed(feeds, ["p", "q"]) == {"p": feeds["a"], "q": feeds["b"]}
    with pytest.raises(ValueError, match="longer"):
        renamed(feeds, ["p"])
