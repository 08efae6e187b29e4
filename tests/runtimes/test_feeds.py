import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_deploy.errors import InputError
from rnn_deploy.runtimes.feeds import check_vocabulary, checker, not_finite, zero_states
from rnn_deploy.spec import EntryPoint, StateSpec, TensorSpec
from tests.support.errors import raises

X = TensorSpec("x", ("batch", "time", 3), "float32")
IDS = TensorSpec("ids", ("batch", "time"), "int32", below=7)
H = StateSpec(TensorSpec("h_in", ("batch", 4), "float32"), "h_out", "rnn", "h")
SEQUENCE = EntryPoint("sequence", (X,), ())
STREAM = EntryPoint("stream", (X,), (), (H,))
BOTH = EntryPoint("sequence", (IDS, X), ())


def _x(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


@given(st.integers(1, 4), st.integers(1, 5))
@settings(max_examples=15, deadline=None)
def test_what_fits_passes_as_it_is(batch, time):
    x, h = _x(batch, time, 3), _x(batch, 4)
    arrays = checker(STREAM)({"h_in": h, "x": x})
    assert arrays[0] is x
    assert arrays[1] is h


def test_what_is_more_than_an_array_passes_as_one():
    class Recording(np.ndarray):
        pass

    (x,) = checker(SEQUENCE)({"x": _x(2, 5, 3).view(Recording)})
    assert type(x) is np.ndarray


def test_states_left_out_are_zero():
    _, h = checker(STREAM)({"x": _x(2, 5, 3)})
    np.testing.assert_array_equal(h, np.zeros((2, 4), np.float32), strict=True)


@pytest.mark.parametrize(
    ("value", "code", "got"),
    [
        (
            _x(5, 3),
            "RANK",
            "2 dimensions (5, 3); a single sequence needs a batch axis too",
        ),
        (_x(), "RANK", "0 dimensions ()"),
        (_x(1, 2, 5, 3), "RANK", "4 dimensions (1, 2, 5, 3)"),
        (_x(2, 5, 2), "SHAPE", "(2, 5, 2): axis 2 must be 3"),
        (_x(2, 5, 4), "SHAPE", "(2, 5, 4): axis 2 must be 3"),
        (_x(0, 5, 3), "EMPTY", "(0, 5, 3): axis 0"),
        (_x(2, 0, 3), "EMPTY", "(2, 0, 3): axis 1"),
        (_x(2, 5, 0), "EMPTY", "(2, 5, 0): axis 2"),
        (_x(2, 5, 3, dtype="float64"), "DTYPE", "float64; convert it: np.asarray(x, 'float32')"),
        (_x(2, 5, 3, dtype="float16"), "DTYPE", "float16"),
        (_x(2, 5, 3, dtype="int32"), "DTYPE", "int32"),
        (_x(2, 5, 3, dtype=">f4"), "DTYPE", ">f4"),
        (np.full((2, 5, 3), None), "DTYPE", "object"),
        (_x(2, 5, 3).tolist(), "NOT-AN-ARRAY", "list"),
        (np.float32(3), "NOT-AN-ARRAY", "float32"),
        (None, "NOT-AN-ARRAY", "NoneType"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_expected_and_got(value, code, got):
    names = ("float32(batch, time, 3)", "'x'", f"got {got}")
    with raises(InputError, f"E-INPUT-{code}", *names):
        checker(SEQUENCE)({"x": value})


def test_a_masked_array_is_refused():
    with raises(InputError, "E-INPUT-MASKED-ARRAY", "'x'", "x.filled(0)"):
        checker(SEQUENCE)({"x": np.ma.masked_less(_x(2, 5, 3), 2)})


@pytest.mark.parametrize(
    ("feeds", "code", "names"),
    [
        ({}, "MISSING", ["missing 'x'"]),
        ({"z": _x(1, 1, 3)}, "UNKNOWN", ["unknown 'z'", "missing 'x'"]),
        ({"x": _x(1, 1, 3), "z": _x(1)}, "UNKNOWN", ["unknown 'z'"]),
        ({"x": _x(1, 1, 3), "h_in": _x(1, 4)}, "UNKNOWN", ["unknown 'h_in'"]),
    ],
)
def test_wrong_names_are_refused_with_the_right_ones(feeds, code, names):
    expected = ("'sequence'", "x float32(batch, time, 3)")
    with raises(InputError, f"E-INPUT-{code}", *names, *expected):
        checker(SEQUENCE)(feeds)


@pytest.mark.parametrize(
    ("feeds", "code", "name"),
    [
        ({"h_in": _x(3, 4)}, "SHAPE", "(3, 4): 'batch' is 2"),
        ({"h_in": _x(2, 5)}, "SHAPE", "(2, 5): axis 1 must be 4"),
        ({"h_in": _x(2, 4, dtype="float64")}, "DTYPE", "float64"),
        ({"h_in": _x(4)}, "RANK", "1 dimensions (4,)"),
        ({"g_in": _x(2, 4)}, "UNKNOWN", "'g_in'"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(feeds, code, name):
    with raises(InputError, f"E-INPUT-{code}", name):
        checker(STREAM)({"x": _x(2, 5, 3), **feeds})


def test_inputs_of_one_call_agree_on_their_symbols():
    ids = np.zeros((2, 5), np.int32)
    checker(BOTH)({"ids": ids, "x": _x(2, 5, 3)})
    with raises(InputError, "E-INPUT-SHAPE", "'x'", "'time' is 5"):
        checker(BOTH)({"ids": ids, "x": _x(2, 6, 3)})


@pytest.mark.parametrize("given_first", ["scalar", "list"])
def test_missing_states_do_not_hide_a_bad_input(given_first):
    bad = np.float32(1)[()] if given_first == "scalar" else [[1.0]]
    with raises(InputError, "E-INPUT-NOT-AN-ARRAY", "'x'"):
        checker(STREAM)({"x": bad})


@pytest.mark.parametrize("good", [-7, -1, 0, 6])
def test_ids_of_the_vocabulary_pass(good):
    check_vocabulary(EntryPoint("e", (IDS,), ()), {"ids": np.array([[0, good]])})


@pytest.mark.parametrize("bad", [7, -8, 2**31 - 1, -(2**31)])
def test_an_id_outside_the_vocabulary_is_named(bad):
    with raises(InputError, "E-INPUT-VOCABULARY", "'ids'", str(bad), "0 to 6"):
        check_vocabulary(BOTH, {"ids": np.array([[0, bad, 3]], np.int32), "x": _x(1, 3, 3)})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named(bad):
    spoilt = _x(2, 5, 3)
    spoilt[1, 4, 2] = bad
    feeds = {"x": spoilt, "z": _x(1), "ids": np.zeros((1, 1), np.int32)}
    assert not_finite(feeds) == ["x"]
    assert not_finite({"z": _x(1)}) == []


def test_zero_states_have_the_batch_asked():
    zero = zero_states(STREAM, 3)
    np.testing.assert_array_equal(zero["h_in"], np.zeros((3, 4), np.float32), strict=True)
