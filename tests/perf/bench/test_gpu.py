"""The check on a GPU: that there is none is said, and what fails has its reason."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.errors import RuntimeUnavailableError
from rnn_deploy.perf.bench import gpu as module
from rnn_deploy.perf.bench.gpu import checked, passed
from rnn_deploy.runtimes.fake import FakeRuntime
from rnn_deploy.runtimes.registry import RUNTIMES

SCRIPT = Path(__file__).parents[3] / "scripts" / "gpu-check"
CPU = RUNTIMES["ort-cpu"]


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(module, "BATCHES", (1, 3))
    monkeypatch.setattr(module, "TIMES", (1, 4))


def check(root, gpu):
    return checked([open_bundle(root)], gpu, CPU, seconds=0)


class Card:
    """The CPU under another name."""

    name, format, provider = "card", "onnx", CPU.provider

    def version(self):
        return "1"

    def why_unavailable(self):
        return None

    def load(self, bundle, options):
        return CPU.load(bundle, options)

    def placements(self, bundle, options):
        return CPU.placements(bundle, options)


def test_a_bundle_is_verified_and_measured_beside_the_cpu(small_bundle, few):
    facts = check(small_bundle, Card())
    assert passed(facts)
    (one,) = facts["bundles"]
    assert one["layers"] == ["first (simple_rnn, 5): native", "second (simple_rnn, 4): native"]
    assert one["inputs"] == ["x float32(batch, time, 3)"]
    assert one["placements"][CPU.provider]["RNN"] == 2
    assert one["comparisons"] > 20
    assert [t["shape"] for t in one["timings"]] == ["1x1", "1x4", "3x1", "3x4"]
    for timing in one["timings"]:
        assert 0 < timing["card"]["median_us"] <= timing["card"]["p95_us"]
        assert timing["times_as_fast"] > 0
    json.dumps(facts)


def test_large_shapes_are_left_to_the_gpu(small_bundle, few, monkeypatch):
    monkeypatch.setattr(module, "MOST_STEPS", 10)
    timings = check(small_bundle, Card())["bundles"][0]["timings"]
    beside_cpu = {timing["shape"]: "ort-cpu" in timing for timing in timings}
    assert beside_cpu == {"1x1": True, "1x4": False, "3x1": False}


def test_wrong_answers_are_no_success(small_bundle, few):
    def wrong(entry, feeds):
        runner = CPU.load(open_bundle(small_bundle), module.RunOptions(entry.name))
        return {name: value + np.float32(0.01) for name, value in runner.run(feeds).items()}

    facts = check(small_bundle, FakeRuntime(wrong))
    assert not passed(facts)
    assert "left their budgets" in facts["bundles"][0]["why"]


def test_a_node_placed_elsewhere_has_its_reason(small_bundle):
    class Moved(Card):
        def load(self, bundle, options):
            raise RuntimeUnavailableError("ONNX Runtime placed recurrent nodes elsewhere: RNN 'a'")

    facts = check(small_bundle, Moved())
    assert not passed(facts)
    assert "placed recurrent nodes elsewhere: RNN 'a'" in facts["bundles"][0]["why"]


def test_without_a_gpu_it_says_so_and_ends_with_3(small_bundle):
    words = [sys.executable, SCRIPT, small_bundle]
    ended = subprocess.run(words, capture_output=True, text=True)
    assert ended.returncode == 3, ended.stderr
    assert "there is no GPU to check on: this onnxruntime has no CUDA" in ended.stderr
    assert json.loads(ended.stdout)["bundles"] == []
    missing = subprocess.run([sys.executable, SCRIPT, "nowhere"], capture_output=True, text=True)
    assert missing.returncode == 2
    assert missing.stderr.startswith("error: nowhere: no such bundle")


def test_it_needs_numpy_and_onnxruntime_only():
    code = "import sys; sys.path.insert(0, '.'); import rnn_deploy.perf.bench.gpu as g;"
    code += "print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert not {"click", "rich", "tensorflow", "onnx", "matplotlib"} & set(ended.stdout.split())
