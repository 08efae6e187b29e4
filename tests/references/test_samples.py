"""Seeded inputs: within the vocabulary, of the right kind, the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_deploy.errors import InputError
from rnn_deploy.references.samples import draw
from rnn_deploy.spec import TensorSpec
from tests.support.errors import raises

SIZES = {"batch": 5, "time": 40}


def drawn(tensor, seed=0):
    return draw([tensor], SIZES, np.random.default_rng(seed))[tensor.name]


@given(below=st.integers(1, 300), dtype=st.sampled_from(["int32", "int64", "uint16", "float32"]))
@settings(max_examples=20, deadline=None)
def test_tokens_lie_in_the_vocabulary(below, dtype):
    value = drawn(TensorSpec("ids", ("batch", "time"), dtype, below=below))
    assert (value.dtype, value.shape) == (np.dtype(dtype), (5, 40))
    assert value.min() >= 0
    assert value.max() < below
    assert np.array_equal(value, np.round(value))
    assert below < 3 or len(np.unique(value)) > 1


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_floats_are_normal(dtype):
    value = drawn(TensorSpec("x", ("batch", "time", 3), dtype))
    assert (value.dtype, value.shape) == (np.dtype(dtype), (5, 40, 3))
    assert value.min() < 0 < value.max()


def test_booleans_are_both():
    assert set(np.unique(drawn(TensorSpec("x", ("batch", "time"), "bool")))) == {True, False}


def test_a_seed_gives_the_same_and_another_seed_another():
    tensor = TensorSpec("x", ("batch", "time"), "float32")
    assert np.array_equal(drawn(tensor, 3), drawn(tensor, 3))
    assert not np.array_equal(drawn(tensor, 3), drawn(tensor, 4))


def test_integers_of_unknown_range_are_not_made_up():
    with raises(InputError, "E-EXPORT-NEEDS-SAMPLES", "'n'", "int64", "--samples"):
        drawn(TensorSpec("n", ("batch",), "int64"))
