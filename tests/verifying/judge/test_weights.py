"""A weight that was changed after the export is named, with its file."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from rnn_deploy.bundle import open_bundle
from rnn_deploy.cli.reference_model import open_later
from rnn_deploy.spec.opening import Opening
from rnn_deploy.verifying import verify
from rnn_deploy.verifying.diagnose.weight_relation import is_altered, relation
from tests.support.spoiled import with_file

W = np.random.default_rng(3).standard_normal((5, 8)).astype(np.float32)
RECURRENT = {"rnn/recurrent_kernel": W, "rnn/kernel": W[:3] + 1, "head/kernel": W[:, :2]}


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (1.01 * W.T, "1.01 x recurrent_kernel"),
        (-W, "-1 x recurrent_kernel"),
        (W.astype(np.float16).astype(np.float32), "recurrent_kernel rounded to float16"),
        (W[:, ::-1], "the values of recurrent_kernel in another order"),
        (0 * W, "zeros instead of recurrent_kernel"),
        (W + np.float32(0.5), "recurrent_kernel + 0.5"),
        (np.random.default_rng(4).standard_normal(40), ""),
    ],
)
def test_what_became_of_a_weight_is_recognised_in_any_layout(stored, words):
    assert relation("rnn/R", stored.astype(np.float32).ravel(), RECURRENT) == words


def test_a_single_wrong_value_is_named():
    stored = W.copy()
    stored[2, 3] += 1e-4
    words = relation("rnn/R", stored.ravel(), RECURRENT)
    assert words.startswith("recurrent_kernel with 1 changed value: ")
    assert f"{stored[2, 3]:.7g} instead of {W[2, 3]:.7g}" in words


@pytest.mark.parametrize(
    ("words", "altered"),
    [
        ("1.01 x recurrent_kernel", True),
        ("-1e-05 x recurrent_kernel", True),
        ("recurrent_kernel rounded to bfloat16", True),
        ("recurrent_kernel + 0.5", True),
        ("the values of recurrent_kernel in another order", False),
        ("zeros instead of bias", False),  # may be an initial state
        ("bias with 1 changed value: 1 instead of 2", False),
        ("", False),
    ],
)
def test_only_some_words_mean_that_a_weight_was_altered(words, altered):
    assert is_altered(words) == altered


def test_weights_of_a_faulty_export_are_compared_with_the_model(
    small_bundle, small_keras, tmp_path
):
    bundle = open_bundle(small_bundle)
    model = onnx.load(small_bundle / "sequence.onnx")
    tensor = next(t for t in model.graph.initializer if t.name.startswith("first/") and t.dims[1:])
    value = numpy_helper.to_array(tensor) * np.float32(1.01)
    tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    wrong = with_file(bundle, tmp_path / "b", "sequence.onnx", model.SerializeToString())
    # As if the export had written it: there is no digest of the right weight.
    manifest = replace(wrong.manifest, extensions={})
    wrong = replace(wrong, manifest=manifest)
    original = open_later(wrong, small_keras, Opening(), lambda step: None)
    report = verify(wrong, checks=["sequence"], original=original, time_limit=None)
    messages = {f.files: f.message for f in report.failed_checks if f.check == "weights"}
    assert list(messages) == [("sequence.onnx",)]
    assert f"'{tensor.name}' = 1.01 x " in messages["sequence.onnx",]
    without = verify(wrong, checks=["sequence"], time_limit=None)
    assert not without.failed_checks


def test_a_weight_of_one_ten_thousandth_more_fails_and_is_named(
    small_bundle, small_keras, tmp_path
):
    bundle = open_bundle(small_bundle)
    model = onnx.load(small_bundle / "sequence.onnx")
    tensor = next(t for t in model.graph.initializer if t.name.startswith("first/"))
    value = numpy_helper.to_array(tensor) * np.float32(1.0001)
    tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    wrong = with_file(bundle, tmp_path / "b", "sequence.onnx", model.SerializeToString())
    original = open_later(wrong, small_keras, Opening(), lambda step: None)
    report = verify(wrong, checks=["states"], original=original, time_limit=None)
    assert not report.passed
    (failed,) = report.failed_checks
    assert (failed.check, failed.files) == ("weights", ("sequence.onnx",))
    assert f"'{tensor.name}'" in failed.message
    assert "1.0001 x " in failed.message
    assert verify(bundle, checks=["states"], time_limit=None).passed
