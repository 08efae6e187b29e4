"""Padding and windows for models with a fixed number of steps."""

import numpy as np
import pytest

from rnn_deploy.errors import InputError
from rnn_deploy.inference.lengths import has_time, padded, windows
from rnn_deploy.spec import EntryPoint, TensorSpec
from tests.support.errors import raises


def entry_of(time=5, padding=None):
    x = TensorSpec("x", ("batch", time, 2), "float32", padding=padding)
    return EntryPoint("sequence", (x, TensorSpec("site", ("batch", 3), "float32")), ())


def feeds_of(*lengths):
    rng = np.random.default_rng(0)
    rows = [rng.standard_normal((n, 2)).astype("f") for n in lengths]
    return {"x": rows, "site": np.arange(3 * len(lengths), dtype="f").reshape(-1, 3)}


@pytest.mark.parametrize("side", ["pre", "post"])
@pytest.mark.parametrize("padding", [None, -1.0])
def test_short_sequences_are_padded_as_keras_pads_them(side, padding):
    import keras

    feeds = feeds_of(2, 5, 1)
    done, notes = padded(entry_of(padding=padding), feeds, side)
    value = 0.0 if padding is None else padding
    expected = keras.utils.pad_sequences(feeds["x"], 5, "float32", padding=side, value=value)
    np.testing.assert_array_equal(done["x"], expected, strict=True)
    np.testing.assert_array_equal(done["site"], feeds["site"])
    (note,) = notes
    assert "2 of 3" in note
    assert ("does not mask" in note) == (padding is None)


def test_padding_has_limits():
    with raises(InputError, "E-INPUT-SHAPE", "'x'", "7 steps", "--window 5"):
        padded(entry_of(), feeds_of(2, 7), "pre")
    with raises(InputError, "E-INPUT-PAD", "'x'", "remove --pad"):
        padded(entry_of("time"), feeds_of(2, 7), "pre")
    done, _ = padded(entry_of("time", 0.0), feeds_of(2, 7), "post")
    assert done["x"].shape == (2, 7, 2)


def test_windows_are_rows_with_an_origin():
    feeds = feeds_of(5, 8)
    cut = windows(entry_of(), feeds, 5, 2)
    assert cut.origins == ((0, 0), (1, 0), (1, 2))
    assert cut.uncovered == 1
    for (row, start), window, site in zip(
        cut.origins, cut.feeds["x"], cut.feeds["site"], strict=True
    ):
        np.testing.assert_array_equal(window, feeds["x"][row][start : start + 5])
        np.testing.assert_array_equal(site, feeds["site"][row])


@pytest.mark.parametrize(
    ("size", "lengths", "names"),
    [(4, (8,), ["takes 5 steps", "--window 5"]), (5, (8, 4), ["4 steps", "--pad"])],
)
def test_windows_that_do_not_fit_are_refused(size, lengths, names):
    with raises(InputError, "E-INPUT-WINDOW", *names):
        windows(entry_of(), feeds_of(*lengths), size, 1)


def test_which_inputs_have_steps():
    assert has_time(TensorSpec("x", (1, 2, 3), "float32"))
    assert has_time(TensorSpec("x", ("batch", "time"), "float32"))
    assert has_time(TensorSpec("ids", ("batch", 80), "int32", below=9))
    assert not has_time(TensorSpec("x", ("batch", 3), "float32"))
