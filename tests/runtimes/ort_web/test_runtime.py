"""`ort-web`: the module of the web package under Node.js, verified as any other runtime."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.errors import (
    ClosedError,
    InputError,
    RnnDeployError,
    RuntimeAbortedError,
    RuntimeUnavailableError,
)
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.ort_web import runtime as module
from rnn_deploy.runtimes.ort_web.runtime import OrtWebRuntime
from rnn_deploy.runtimes.registry import RUNTIMES
from rnn_deploy.spec import SEQUENCE, STREAM
from rnn_deploy.verifying import verify
from tests.support.errors import raises
from tests.support.ort_web import needs_node, ort_web_cache

WEB = OrtWebRuntime()


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setenv("RNN_DEPLOY_CACHE", ort_web_cache())


def loaded(root, entry=STREAM, **options):
    return WEB.load(open_bundle(root), RunOptions(entry, **options))


@needs_node
def test_outputs_and_states_are_right_whole_and_streamed(here, small_bundle):
    report = verify(
        open_bundle(small_bundle), runtimes=[WEB], checks=("sequence", "states", "step")
    )
    assert report.passed
    assert {c.kind for c in report.comparisons} == {"output", "state"}
    assert {c.check for c in report.comparisons} == {"sequence", "states", "step"}


@needs_node
def test_ids_and_initial_states_arrive(here, token_bundle):
    bundle = open_bundle(token_bundle)
    rng = np.random.default_rng(3)
    state = bundle.manifest.entry(STREAM).states[0].tensor.name
    feeds = {
        "ids": rng.integers(0, 7, (3, 5)).astype(np.int32),
        state: rng.standard_normal((3, 4)).astype(np.float32),
    }
    results = []
    for runtime in (WEB, RUNTIMES["ort-cpu"]):
        runner = runtime.load(bundle, RunOptions(STREAM))
        results.append(runner.run(feeds))
        runner.close()
    assert results[0].keys() == results[1].keys()
    for name, value in results[0].items():
        np.testing.assert_allclose(value, results[1][name], atol=1e-6)


@needs_node
def test_wrong_calls_are_refused_and_the_runner_lives_on(here, small_bundle, x):
    runner = loaded(small_bundle, SEQUENCE)
    before = runner.run({"x": x})
    with raises(InputError, "E-INPUT-SHAPE", "x"):
        runner.run({"x": x[..., :2]})
    assert "error" in module.ask(runner._process, {"feeds": {}, "states": {}})
    np.testing.assert_array_equal(runner.run({"x": x})["y"], before["y"])
    folder = Path(runner._folder)
    assert folder.is_dir()
    runner.close()
    assert not folder.exists()
    with raises(ClosedError, "E-RUNTIME-CLOSED"):
        runner.run({"x": x})


@needs_node
def test_a_process_that_ends_is_reported(here, small_bundle, x):
    runner = loaded(small_bundle, SEQUENCE)
    runner._process.kill()
    runner._process.wait()
    with raises(RuntimeAbortedError, "E-RUNTIME-FAILED", "ort-web"):
        runner.run({"x": x})
    runner.close()


@needs_node
def test_closing_during_a_call_of_another_thread_says_so(here, small_bundle, x):
    runner = loaded(small_bundle, SEQUENCE)
    seen = []

    def predict():
        try:
            while True:
                runner.run({"x": x})
                seen.append("result")
        except RnnDeployError as error:
            seen.append(error.code)

    threads = [threading.Thread(target=predict) for _ in range(3)]
    for thread in threads:
        thread.start()
    while not seen:
        time.sleep(0.01)
    runner.close()
    for thread in threads:
        thread.join(30)
    assert sorted(set(seen)) == ["E-RUNTIME-CLOSED", "result"]
    assert seen.count("E-RUNTIME-CLOSED") == 3


@needs_node
def test_options_that_it_does_not_have_are_refused(here, small_bundle):
    with raises(InputError, "E-OPTION-THREADS", "--threads"):
        loaded(small_bundle, threads=2)
    with raises(InputError, "E-OPTION-PROVIDER", "device_id"):
        loaded(small_bundle, provider=(("device_id", "1"),))


@needs_node
def test_a_model_that_does_not_load_leaves_nothing(here, small_bundle, tmp_path, monkeypatch):
    def spoiled(bundle, entry, artifact, folder):
        write(bundle, entry, artifact, folder)
        model = folder / "model.onnx"
        model.write_bytes(bytes(model.stat().st_size))

    write = module._write_model
    monkeypatch.setattr(module, "_write_model", spoiled)
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    with raises(RuntimeUnavailableError, "E-RUNTIME-LOAD", "onnxruntime-web"):
        loaded(small_bundle)
    assert list(tmp_path.glob("rnn-deploy-ort-web-*")) == []


def test_what_is_missing_is_named(monkeypatch, tmp_path, small_bundle):
    monkeypatch.setenv("RNN_DEPLOY_CACHE", str(tmp_path))
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    assert "Node.js" in WEB.why_unavailable()
    monkeypatch.setattr(module.shutil, "which", lambda name: "node")
    assert "--for web" in WEB.why_unavailable()
    assert WEB.version() is None
    with raises(RuntimeUnavailableError, "E-RUNTIME-UNAVAILABLE", "ort-web"):
        loaded(small_bundle)
