"""The form that a stream has for one step: when it is run, and that nothing hides behind it."""

import hashlib
import json

import numpy as np
import onnx
import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.store import MANIFEST
from rnn_deploy.errors import BundleError, InputError
from rnn_deploy.inference.stream import Stream
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.registry import RUNTIMES
from rnn_deploy.verifying import verify
from rnn_deploy.verifying.diagnose.file_verdicts import file_verdicts
from tests.support.errors import raises


def _runner(root, **options):
    return RUNTIMES["ort-cpu"].load(open_bundle(root), RunOptions("stream", **options))


def _spoil(root, name="step.onnx"):
    """Another bias in a file, its record in the manifest made to match."""
    place = root / name
    model = onnx.load(place)
    bias = next(w for w in model.graph.initializer if w.name.lower().startswith("first/b"))
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + 1, bias.name))
    content = model.SerializeToString()
    place.write_bytes(content)
    data = json.loads((root / MANIFEST).read_text())
    record = next(r for r in data["files"] if r["path"] == name)
    record |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (root / MANIFEST).write_text(json.dumps(data))


def test_one_step_is_run_by_its_own_form_and_other_chunks_are_not(small_bundle, x):
    before = _runner(small_bundle)
    whole, one = before.run({"x": x}), before.run({"x": x[:, :1]})
    _spoil(small_bundle)
    after = _runner(small_bundle)
    np.testing.assert_array_equal(after.run({"x": x})["y"], whole["y"])
    spoilt = after.run({"x": x[:, :1]})
    assert all(np.abs(spoilt[name] - one[name]).max() > 0.01 for name in one)


def test_a_stream_steps_by_it_bound_to_memory_or_not(small_bundle, x):
    def stepped():
        stream = Stream(_runner(small_bundle), batch=2)
        return [stream.step(x[:, t : t + 1]) for t in range(6)], stream.state

    (expected, state) = stepped()
    _spoil(small_bundle)
    spoilt, spoilt_state = stepped()
    assert all(np.abs(a - b).max() > 0.01 for a, b in zip(expected, spoilt, strict=True))
    assert all(np.abs(state[name] - spoilt_state[name]).max() > 0.01 for name in state)


def test_steps_and_longer_chunks_share_one_state(small_bundle, x):
    whole = _runner(small_bundle).run({"x": x})
    stream = Stream(_runner(small_bundle), batch=2)
    pieces = [stream.step(x[:, a:b]) for a, b in ((0, 1), (1, 2), (2, 3), (3, 5), (5, 6))]
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole["y"], atol=1e-6)
    for name, value in stream.finals().items():
        np.testing.assert_allclose(value, whole[name], atol=1e-6)


def test_a_runtime_says_which_file_a_call_is_run_by(small_bundle, x):
    bundle = open_bundle(small_bundle)
    whole, one = {"x": x.shape}, {"x": (2, 1, 3)}

    def ran(name, shapes, **options):
        return RUNTIMES[name].file_of(bundle, RunOptions(**options), shapes)

    assert ran("ort-cpu", one) == "sequence.onnx"
    assert ran("ort-cpu", whole, entry="stream") == "stream.onnx"
    assert ran("ort-cpu", one, entry="stream") == "step.onnx"
    assert ran("ort-cpu", one, entry="stream", step_form=False) == "stream.onnx"
    for name in ("ort-cuda", "openvino-cpu"):
        assert ran(name, one, entry="stream") == "stream.onnx"
    assert ran("litert", whole, entry="stream") == "model.tflite, signature stream"
    assert ran("litert", one, entry="stream") == "model.tflite, signature step"


def test_verification_names_the_file_that_is_wrong_and_those_that_are_right(small_bundle):
    _spoil(small_bundle)
    report = verify(open_bundle(small_bundle), runtimes=[RUNTIMES["ort-cpu"]], time_limit=None)
    wrong = [c for c in report.comparisons if not c.passed and not c.against_itself]
    failed = {(c.check, c.files) for c in wrong}
    assert {("step", ("step.onnx",)), ("teacher-forced", ("step.onnx",))} <= failed
    assert all("step.onnx" in files for _, files in failed)
    assert [str(verdicts) for verdicts in file_verdicts(report.comparisons)] == [
        "wrong on ort-cpu: step.onnx; right: sequence.onnx and stream.onnx"
    ]
    assert {finding.files for finding in report.findings} == {("step.onnx",)}
    assert "run by step.onnx" in report.findings[0].lines[0]


@pytest.mark.parametrize("spoilt", ["stream.onnx", "sequence.onnx"])
def test_single_steps_are_run_by_the_stream_s_own_form_too(small_bundle, spoilt):
    _spoil(small_bundle, spoilt)
    report = verify(open_bundle(small_bundle), runtimes=[RUNTIMES["ort-cpu"]], time_limit=None)
    failed = {(c.check, c.detail) for c in report.comparisons if not c.passed}
    by_stream = ("teacher-forced", "single steps by the stream's model file")
    assert (by_stream in failed) == (spoilt == "stream.onnx")
    assert ("teacher-forced", "entry point stream") not in failed
    (verdicts,) = file_verdicts(report.comparisons)
    assert verdicts.wrong == (spoilt,)
    assert verdicts.certain


def test_an_altered_step_is_refused_when_the_stream_is_loaded(small_bundle):
    place = small_bundle / "step.onnx"
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes(content)
    with raises(BundleError, "E-BUNDLE-ALTERED", "step.onnx"):
        _runner(small_bundle)


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        (lambda x: x.astype("f8"), "E-INPUT-DTYPE", "float64"),
        (lambda x: x[0], "E-INPUT-RANK", "2 dimensions"),
        (lambda x: x[..., :2], "E-INPUT-SHAPE", "axis 2"),
        (lambda x: x[:, :0], "E-INPUT-EMPTY", "axis 1"),
        (lambda x: x.tolist(), "E-INPUT-NOT-AN-ARRAY", "list"),
    ],
)
def test_feeds_that_follow_right_ones_are_checked(small_bundle, x, change, code, named):
    runner = _runner(small_bundle)
    step = x[:, :1]
    runner.run({"x": step})
    runner.run({"x": step})
    with raises(InputError, code, named):
        runner.run({"x": change(step)})
