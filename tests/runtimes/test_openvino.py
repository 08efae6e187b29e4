"""OpenVINO: every shape, its own memory, what it gets wrong is not loaded."""

import keras
import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.bundle import open_bundle
from rnn_deploy.conformance.layers import single
from rnn_deploy.conformance.masks import masked
from rnn_deploy.errors import (
    BundleError,
    InputError,
    RuntimeUnavailableError,
    UnsupportedModelError,
)
from rnn_deploy.runtimes import openvino as module
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.openvino import OpenVinoRunner
from rnn_deploy.runtimes.registry import RUNTIMES, runtimes_for
from rnn_deploy.spec import EntryPoint, TensorSpec
from tests.support.errors import raises
from tests.support.models import randomised

RNG = np.random.default_rng(4)


def load(root, entry="sequence", runtime="openvino-cpu", **options):
    return RUNTIMES[runtime].load(open_bundle(root), RunOptions(entry, **options))


def test_one_runner_takes_every_shape_in_any_order(small_bundle):
    ours, theirs = load(small_bundle, "stream"), load(small_bundle, "stream", "ort-cpu")
    kept = []
    for batch, time in ((3, 5), (1, 1), (2, 9), (3, 5), (4, 2)):
        feeds = {
            "x": RNG.standard_normal((batch, time, 3)).astype("f"),
            "second_h_in": RNG.standard_normal((batch, 4)).astype("f"),
        }
        found, expected = ours.run(feeds), theirs.run(feeds)
        assert set(found) == {"y", "first_h_out", "second_h_out"}
        kept += [(found[name], expected[name]) for name in found]
    for (
        found,
        expected,
    ) in kept:  # compared last: a later call must not write over an earlier answer
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6, strict=True)


@pytest.mark.parametrize("made", [np.asfortranarray, lambda x: x[:, ::-1][:, ::-1]])
def test_memory_layout_does_not_change_the_answer(small_bundle, x, made):
    runner = load(small_bundle)
    np.testing.assert_array_equal(runner.run({"x": made(x)})["y"], runner.run({"x": x})["y"])


def test_it_computes_in_float32(small_bundle):
    report = rnn_deploy.verify(small_bundle, ["openvino-cpu"])
    assert report.passed
    assert {c.check for c in report.comparisons} >= {"sequence", "states", "chunked"}


def test_less_precision_is_found(small_bundle, monkeypatch):
    real = module._properties
    monkeypatch.setattr(module, "_properties", lambda *a: {**real(*a), module.PRECISION: "bf16"})
    report = rnn_deploy.verify(small_bundle, ["openvino-cpu"])
    exact = max(c.max_abs for c in report.comparisons) < 1e-6
    assert exact or not report.passed  # a processor without bfloat16 computes in float32


def test_what_it_gets_wrong_is_not_loaded(tmp_path):
    model = randomised(masked(kind="LSTM")(), scale=0.3)
    wrong = rnn_deploy.export(model, tmp_path / "wrong", to=("onnx",))
    with raises(
        RuntimeUnavailableError, "E-RUNTIME-WRONG", "'rnn'", "native", "--profile openvino"
    ):
        rnn_deploy.load(wrong, "openvino-cpu")
    _, skipped = runtimes_for(wrong)
    assert "gets layer 'rnn'" in {s.runtime: s.reason for s in skipped}["openvino-cpu"]
    right = rnn_deploy.export(model, tmp_path / "right", to=("onnx",), profile="openvino")
    assert rnn_deploy.verify(right, ["openvino-cpu"]).passed


def test_float64_has_no_form_for_it(tmp_path):
    model = randomised(single(kind="GRU", dtype="float64")(), scale=0.3)
    with raises(UnsupportedModelError, "E-MODEL-LOWERING", "'rnn'", "float64", "openvino"):
        rnn_deploy.export(model, tmp_path / "b", to=("onnx",), profile="openvino")


def test_an_option_it_does_not_have_is_refused(small_bundle):
    with raises(InputError, "E-OPTION-PROVIDER", "--option SPEED", "openvino-cpu"):
        load(small_bundle, provider=(("SPEED", "9"),))
    runner = load(small_bundle, provider=(("PERFORMANCE_HINT", "LATENCY"),), threads=1)
    runner.close()


def test_an_altered_file_never_reaches_it(small_bundle):
    artifact = small_bundle / "sequence.onnx"
    artifact.write_bytes(artifact.read_bytes() + b" ")
    with pytest.raises(BundleError, match=r"sequence\.onnx"):
        load(small_bundle)


def test_without_the_package_it_says_which_extra(monkeypatch, small_bundle):
    monkeypatch.setattr(module, "is_installed", lambda name: False)
    with raises(RuntimeUnavailableError, "E-RUNTIME-UNAVAILABLE", "[openvino]"):
        load(small_bundle)


class Port:
    def __init__(self, name):
        self.get_names = lambda: {name}


class Compiled:
    """What OpenVINO gives, as far as a runner asks it; `infer` notes what it was given."""

    inputs, outputs = (Port("ids"),), ()

    def __init__(self):
        self.given = []

    def create_infer_request(self):
        return self

    def infer(self, packed):
        self.given.append(packed[0])


@pytest.mark.parametrize("beyond", [2**31, -(2**31) - 1, 2**40 + 5])
def test_numbers_that_it_would_cut_off_are_refused(beyond):
    compiled = Compiled()
    ids = TensorSpec("ids", ("batch", "time"), "int64")
    runner = OpenVinoRunner(EntryPoint("sequence", (ids,), ()), compiled)
    with raises(InputError, "E-INPUT-RANGE", "'ids'", "32 bits"):
        runner.run({"ids": np.array([[1, beyond]])})
    fits = np.array([[2**31 - 1, -(2**31)]])
    runner.run({"ids": fits})
    assert np.array_equal(compiled.given, [fits])


@pytest.mark.filterwarnings("ignore:You are using a softmax")  # of one step
def test_attention_is_right_after_a_call_of_one_step(tmp_path):
    x = keras.Input((None, 4), name="x")
    steps = keras.layers.SimpleRNN(4, return_sequences=True)(x)
    model = keras.Model(x, keras.layers.Attention(name="y")([steps, steps]))
    bundle = rnn_deploy.export(randomised(model), tmp_path / "b", to="onnx", long=0)
    ours, theirs = load(bundle.root), load(bundle.root, runtime="ort-cpu")
    for batch, time in ((1, 1), (2, 16), (3, 40), (3, 1), (1, 17)):
        x = RNG.standard_normal((batch, time, 4)).astype("f")
        found, expected = ours.run({"x": x})["y"], theirs.run({"x": x})["y"]
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6, strict=True)


def test_what_is_turned_around_keeps_its_length(tmp_path):
    """Concatenate makes a mask of the sequence's length for its input without a mask."""
    x = keras.Input((None, 3), name="x")
    steps = keras.layers.Masking()(x)
    back = keras.layers.GRU(4, return_sequences=True, go_backwards=True)(steps)
    model = keras.Model(x, keras.layers.GRU(2)(keras.layers.Concatenate()([x, back])))
    bundle = rnn_deploy.export(randomised(model), tmp_path / "b", to="onnx", long=0)
    assert rnn_deploy.verify(bundle, ["openvino-cpu"]).passed
