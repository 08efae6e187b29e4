import pickle

import numpy as np
import pytest

from rnn_deploy.errors import InputError
from rnn_deploy.inference.preprocessing import TEXT, Preprocessing, is_text, raw_spec
from rnn_deploy.spec import TensorSpec
from tests.support.errors import raises

WORDS = {
    "kind": "strings",
    "vocabulary": ["[UNK]", "a"],
    "special": ["[UNK]"],
    "mask": None,
    "unknown": 0,
}
SCALER = {"kind": "scaler", "offset": [1.0, 2.0], "factor": [2.0, 0.5], "dtype": "float32"}


def test_a_scaler_scales_in_float64_and_any_lengths():
    scale = Preprocessing({"x": [SCALER]})
    x = np.random.default_rng(0).standard_normal((2, 3, 2))
    expected = ((x - [1, 2]) * [2, 0.5]).astype("f")
    np.testing.assert_array_equal(scale.apply({"x": x})["x"], expected, strict=True)
    ragged = scale.apply({"x": [x[0], x[1, :1]], "z": 1})
    assert ragged["z"] == 1
    np.testing.assert_array_equal(ragged["x"][1], expected[1, :1], strict=True)
    with raises(InputError, "E-INPUT-SHAPE", "'x'", "2 features"):
        scale.apply({"x": np.ones((2, 3))})
    with raises(InputError, "E-INPUT-DTYPE", "'x'"):
        scale.apply({"x": [["a", "b"]]})


def test_steps_follow_each_other_and_survive_a_pickle():
    steps = Preprocessing({"x": [SCALER, SCALER]})
    again = pickle.loads(pickle.dumps(steps))
    x = np.ones((1, 2))
    np.testing.assert_array_equal(again.apply({"x": x})["x"], steps.apply({"x": x})["x"])
    assert bool(again)
    assert not Preprocessing({})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", True),
        (b"a", True),
        ([["a"]], True),
        (np.array(["a"]), True),
        (np.array([["a"]], object), True),
        ([1, 2], False),
        (np.ones(2), False),
    ],
)
def test_what_is_text(value, text):
    assert is_text(value) == text


def test_what_a_user_may_give_as_text():
    ids = TensorSpec("x", ("batch", "time"), "int64", below=2)
    assert raw_spec(ids, Preprocessing({})) is ids
    assert raw_spec(ids, Preprocessing({"x": [WORDS]})) == TensorSpec("x", ids.shape, TEXT)
