import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_deploy.errors import InputError
from rnn_deploy.runtimes.feeds import checker, not_finite, vocabulary_faults, zero_states
from rnn_deploy.spec import EntryPoint, StateSpec, TensorSpec

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


TAKES = "input 'x' takes float32(batch, time, 3), found "


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (_x(5, 3), TAKES + "2 dimensions (5, 3); a single sequence still needs its batch axis"),
        (_x(), TAKES + "0 dimensions (); give 3"),
        (_x(1, 2, 5, 3), TAKES + "4 dimensions (1, 2, 5, 3); give 3"),
        (_x(2, 5, 2), TAKES + "(2, 5, 2): axis 2 must be 3"),
        (_x(2, 5, 4), TAKES + "(2, 5, 4): axis 2 must be 3"),
        (_x(0, 5, 3), TAKES + "(0, 5, 3): axis 0 is empty; give at least one"),
        (_x(2, 0, 3), TAKES + "(2, 0, 3): axis 1 is empty; give at least one"),
        (_x(2, 5, 0), TAKES + "(2, 5, 0): axis 2 is empty; give at least one"),
        (_x(2, 5, 3, dtype="float64"), TAKES + "float64; convert it: np.asarray(x, 'float32')"),
        (_x(2, 5, 3, dtype="float16"), TAKES + "float16"),
        (_x(2, 5, 3, dtype="int32"), TAKES + "int32"),
        (_x(2, 5, 3, dtype=">f4"), TAKES + ">f4"),
        (np.full((2, 5, 3), None), TAKES + "object"),
        (_x(2, 5, 3).tolist(), TAKES + "list; give a NumPy array"),
        (np.float32(3), TAKES + "float32; give a NumPy array"),
        (np.ma.masked_less(_x(2, 5, 3), 2), "input 'x' is a masked array, and no runtime sees its"),
        (None, TAKES + "NoneType"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_asked_and_found(value, message):
    with pytest.raises(InputError, match=re.escape(message)):
        checker(SEQUENCE)({"x": value})


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({}, "missing 'x'; 'sequence' takes x float32(batch, time, 3)"),
        ({"z": _x(1, 1, 3)}, "unknown 'z', missing 'x'"),
        ({"x": _x(1, 1, 3), "z": _x(1)}, "unknown 'z'; 'sequence' takes x"),
        ({"x": _x(1, 1, 3), "h_in": _x(1, 4)}, "unknown 'h_in'; 'sequence' takes x"),
    ],
)
def test_wrong_names_are_refused_with_the_right_ones(feeds, message):
    with pytest.raises(InputError, match=re.escape(f"inputs do not fit: {message}")):
        checker(SEQUENCE)(feeds)


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"h_in": _x(3, 4)}, "found (3, 4): 'batch' is 2 in the inputs before it"),
        ({"h_in": _x(2, 5)}, "found (2, 5): axis 1 must be 4"),
        ({"h_in": _x(2, 4, dtype="float64")}, "found float64"),
        ({"h_in": _x(4)}, "found 1 dimensions (4,)"),
        ({"g_in": _x(2, 4)}, "unknown 'g_in'; 'stream' takes x float32(batch, time, 3); h_in"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(feeds, message):
    with pytest.raises(InputError, match=re.escape(message)):
        checker(STREAM)({"x": _x(2, 5, 3), **feeds})


def test_inputs_of_one_call_agree_on_their_symbols():
    ids = np.zeros((2, 5), np.int32)
    checker(BOTH)({"ids": ids, "x": _x(2, 5, 3)})
    with pytest.raises(InputError, match="'time' is 5 in the inputs before it"):
        checker(BOTH)({"ids": ids, "x": _x(2, 6, 3)})


@pytest.mark.parametrize("given_first", ["scalar", "list"])
def test_missing_states_do_not_hide_a_bad_input(given_first):
    bad = np.float32(1)[()] if given_first == "scalar" else [[1.0]]
    with pytest.raises(InputError, match="input 'x' takes"):
        checker(STREAM)({"x": bad})


@pytest.mark.parametrize("good", [-7, -1, 0, 6])
def test_ids_of_the_vocabulary_pass(good):
    assert vocabulary_faults(EntryPoint("e", (IDS,), ()), {"ids": np.array([[0, good]])}) is None


@pytest.mark.parametrize("bad", [7, -8, 2**31 - 1, -(2**31)])
def test_an_id_outside_the_vocabulary_is_named(bad):
    fault = vocabulary_faults(BOTH, {"ids": np.array([[0, bad, 3]], np.int32), "x": _x(1, 3, 3)})
    assert fault == f"input 'ids' holds the id {bad}, the model's vocabulary has ids 0 to 6"


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
