"""What is known of some rows of a case, and of some steps."""

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.spec import EntryPoint, TensorSpec
from rnn_deploy.verifying.judge.parts import CasePart, CaseParts, KnownCase

ENTRY = EntryPoint(
    "sequence",
    (TensorSpec("x", ("batch", "time", 1), "float32"),),
    (
        TensorSpec("y", ("batch", "time"), "float32"),
        TensorSpec("mean", (2,), "float32"),
        TensorSpec("turned", ("time", "batch"), "float32"),
    ),
)


def test_of_some_rows_what_the_batch_has_one_value_of_is_not_known():
    y = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    values = {"y": y, "mean": y.mean(1)[:2], "turned": y.T}
    case = GoldenCase("n3t4", ("sequence",), (), {"x": y[..., None]}, values, values)
    parts = CaseParts(KnownCase(case), ENTRY)
    assert set(parts.truth(parts.whole)) == {"y", "mean", "turned"}
    truth = parts.truth(CasePart((2, 0), 0, 4))
    assert set(truth) == {"y"}
    np.testing.assert_array_equal(truth["y"], y[[2, 0]])
