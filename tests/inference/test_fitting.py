"""What is converted to the model's dtypes, and what would lose information."""

import numpy as np
import pytest

from rnn_deploy.errors import InputError
from rnn_deploy.inference.fitting import cast, fitted, one_length
from rnn_deploy.spec import EntryPoint, StateSpec, TensorSpec
from tests.support.errors import raises

X = TensorSpec("x", ("batch", "time", 2), "float32")
IDS = TensorSpec("ids", ("batch", "time"), "int32", below=9)
H = StateSpec(TensorSpec("h_in", ("batch", 2), "float32"), "h_out", "rnn", "h")
ENTRY = EntryPoint("stream", (X, IDS), (), (H,))


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ([0.1, np.nan, -np.inf, 1e-30], "float32"),
        (np.array([0, 2**24], np.int64), "float32"),
        (np.array([1, 2], ">f4"), "float32"),
        (np.array([3.0, -4.0]), "int32"),
        (np.array([2**31 - 1], np.int64), "int32"),
        (np.array([True, False]), "float32"),
        (np.array([0, 1]), "bool"),
    ],
)
def test_values_that_fit_are_converted(value, dtype):
    done = cast(np.asarray(value), TensorSpec("x", ("batch",), dtype))
    np.testing.assert_array_equal(done, np.asarray(value).astype(dtype), strict=True)


@pytest.mark.parametrize(
    ("value", "dtype", "found"),
    [
        (np.array([1.0, 1e39]), "float32", "1e+39"),
        (np.array([1e-60]), "float32", "1e-60"),
        (np.array([1700000001.0]), "float32", "1700000001.0"),
        (np.array([2**24 + 1]), "float32", "16777217"),
        (np.array([1.5]), "int32", "1.5"),
        (np.array([np.nan]), "int32", "nan"),
        (np.array([np.inf]), "int64", "inf"),
        (np.array([2**31]), "int32", "2147483648"),
        (np.array([-1]), "uint8", "-1"),
        (np.array([2**64 - 1], np.uint64), "int64", "18446744073709551615"),
        (np.array([0.5]), "bool", "0.5"),
        (np.array([1 + 2j]), "float32", "complex"),
        (np.array(["1"]), "float32", "<U1"),
    ],
)
def test_a_value_that_does_not_fit_is_named(value, dtype, found):
    with raises(InputError, "E-INPUT-DTYPE", "'x'", dtype, found):
        cast(value, TensorSpec("x", ("batch",), dtype))


def test_lists_become_arrays_or_sequences_of_several_lengths():
    done = fitted(ENTRY, {"x": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]], "ids": [[1], [2, 3]]})
    np.testing.assert_array_equal(
        done["x"], np.arange(1, 9, dtype="f").reshape(2, 2, 2), strict=True
    )
    assert [row.tolist() for row in done["ids"]] == [[1], [2, 3]]
    assert {row.dtype.name for row in done["ids"]} == {"int32"}
    ragged = np.empty(2, object)
    ragged[:] = [np.ones((1, 2)), np.ones((3, 2))]
    assert [row.shape for row in fitted(ENTRY, {"x": ragged})["x"]] == [(1, 2), (3, 2)]
    assert fitted(ENTRY, {"h_in": [[1, 2]]})["h_in"].dtype == np.float32


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ([[[1, 2], [3]]], "E-INPUT-DTYPE"),
        ([[[1, 2]], [[1, 2, 3]]], "E-INPUT-MIXED"),
        ([1, [2]], "E-INPUT-MIXED"),
        ([[1, 2], [3]], "E-INPUT-RANK"),
        ([["a"]], "E-INPUT-DTYPE"),
        (["text", None], "E-INPUT-DTYPE"),
        (None, "E-INPUT-DTYPE"),
        ({"a": 1}, "E-INPUT-DTYPE"),
    ],
)
def test_what_is_no_batch_of_sequences_is_refused(value, code):
    with raises(InputError, code, "'x'"):
        fitted(ENTRY, {"x": value})


def test_a_stream_takes_one_length():
    assert one_length(ENTRY, {"ids": [[1, 2]]})["ids"].shape == (1, 2)
    with raises(InputError, "E-INPUT-MIXED", "'ids'", "stream_batch"):
        one_length(ENTRY, {"ids": [[1], [2, 3]]})


def test_unknown_names_and_masked_arrays_are_left_to_the_runner():
    masked = np.ma.zeros((1, 2, 2))
    done = fitted(ENTRY, {"x": masked, "z": [1]})
    assert done["x"] is masked
    assert done["z"].tolist() == [1]
