"""A contender in a process of its own: what it answers, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest

from rnn_deploy.errors import BundleError, InputError
from rnn_deploy.inference.model import load
from rnn_deploy.perf.bench.contender import of_bundle
from rnn_deploy.perf.bench.opening import renamed
from rnn_deploy.perf.bench.worker import ContenderServer
from rnn_deploy.workers.process import WorkerProcess
from tests.support.errors import raises


@pytest.fixture
def process():
    with WorkerProcess(ContenderServer, time_limit=60) as process:
        yield process


def test_a_bundle_is_loaded_called_and_timed(process, small_bundle, x):
    process.ask("load", of_bundle(small_bundle, "ort-cpu", 1))
    first, (y,) = process.ask("first", {"x": x})
    assert first > 0
    assert np.array_equal(y, load(small_bundle, "ort-cpu").predict(x))
    times = process.ask("calls", 5)
    assert len(times) == 5
    assert min(times) > 0
    assert 10e6 < process.ask("peak_bytes") < 1e9


def test_wrong_inputs_are_an_error_and_the_process_goes_on(process, small_bundle, x):
    process.ask("load", of_bundle(small_bundle, "ort-cpu", None))
    with raises(InputError, "E-INPUT-SHAPE", "'x'", "float32(batch, time, 3)"):
        process.ask("first", {"x": x[:, :, :2]})
    assert process.ask("first", {"x": x})[0] > 0


def test_a_contender_that_cannot_be_loaded_is_an_error(process, tmp_path):
    with raises(BundleError, "E-BUNDLE-NO-MANIFEST"):
        process.ask("load", of_bundle(tmp_path, "ort-cpu", None))


def test_a_system_that_does_not_report_memory_gives_none(monkeypatch):
    monkeypatch.setattr("rnn_deploy.perf.bench.worker.Path", lambda path: Path("nowhere"))
    assert ContenderServer().peak_bytes() > 10e6  # from the module resource
    monkeypatch.setattr("rnn_deploy.perf.bench.worker.resource", None)
    assert ContenderServer().peak_bytes() is None


def test_a_peer_s_inputs_are_known_by_name_or_by_place():
    feeds = {"a": np.zeros(1), "b": np.ones(1)}
    assert renamed(feeds, ["b", "a"]) == feeds
    assert renamed(feeds, ["p", "q"]) == {"p": feeds["a"], "q": feeds["b"]}
    with pytest.raises(ValueError, match="longer"):
        renamed(feeds, ["p"])
