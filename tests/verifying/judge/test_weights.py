"""A weight that was changed after the export is named, with its file."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from rnn_deploy.bundle import open_bundle
from rnn_deploy.cli.reference_model import open_later
from rnn_deploy.spec.opening import Opening
from rnn_deploy.verifying import verify
from rnn_deploy.verifying.diagnose.weight_relation import relation
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
    assert words.startswith("recurrent_kernel with 1 other values: ")
    assert f"{stored[2, 3]:.7g} instead of {W[2, 3]:.7g}" in words


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
