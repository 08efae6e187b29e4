"""A contender in a process of its own: what it answers, and what it refuses."""

import numpy as np
import pytest

from rnn_deploy.errors import BundleError, InputError
from rnn_deploy.inference.model import load
from rnn_deploy.perf.bench.contender import of_bundle
from rnn_deploy.perf.bench.opening import renamed
from rnn_deploy.perf.bench.process import ContenderProcess


def test_a_bundle_is_loaded_called_and_timed(small_bundle, x):
    with ContenderProcess(of_bundle(small_bundle, "ort-cpu", 1)) as worker:
        taken, (y,) = worker.first({"x": x})
        assert taken > 0
        assert np.array_equal(y, load(small_bundle, "ort-cpu").predict(x))
        taken = worker.calls(5)
        assert len(taken) == 5
        assert min(taken) > 0
        assert worker.startup_ns > max(taken)
        assert 10e6 < worker.peak_bytes() < 1e9


def test_what_a_runtime_refuses_is_said(small_bundle, x):
    with ContenderProcess(of_bundle(small_bundle, "ort-cpu", None)) as worker:
        with pytest.raises(InputError, match=r"input 'x' takes float32\(batch, time, 3\)"):
            worker.first({"x": x[:, :, :2]})
        assert worker.first({"x": x})[0] > 0  # it goes on


def test_what_cannot_be_loaded_is_said(tmp_path):
    with pytest.raises(BundleError, match="not a bundle"):
        ContenderProcess(of_bundle(tmp_path, "ort-cpu", None))


def test_a_peer_s_inputs_are_known_by_name_or_by_place():
    feeds = {"a": np.zeros(1), "b": np.ones(1)}
    assert renamed(feeds, ["b", "a"]) == feeds
    assert renamed(feeds, ["p", "q"]) == {"p": feeds["a"], "q": feeds["b"]}
    with pytest.raises(ValueError, match="longer"):
        renamed(feeds, ["p"])
