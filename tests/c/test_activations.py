"""The activation functions in C against float64, and at the ends of float32's range."""

import ctypes

import numpy as np
import pytest

from rnn_deploy.c.blocks import Use, source_of
from rnn_deploy.numerics.cells import ACTIVATIONS
from tests.support.c_compilers import call, needed

pytestmark = needed("gcc")
MOST_ULPS = 2.5
HEAD = "#include <math.h>\n#include <stddef.h>\n#include <stdint.h>\n"


def library(place, names, *flags, change=lambda text: text):
    """Functions of an array, compiled: by activation's name."""
    uses = {Use("map", name) for name in names}
    text = HEAD + change(source_of(uses)).replace("static void", "void")
    (place / "a.c").write_text(text)
    call("gcc", *flags, "-shared", "-fPIC", "-o", "a.so", "a.c", "-lm", place=place)
    loaded = ctypes.CDLL(str(place / "a.so"))

    def function(name):
        def of(x):
            y = np.empty_like(x)
            count = ctypes.c_size_t(x.size)
            pointer = ctypes.c_void_p
            getattr(loaded, f"model_map_{name}")(
                pointer(x.ctypes.data), pointer(y.ctypes.data), count
            )
            return y

        return of

    return {name: function(name) for name in names}


def ulps(value, truth):
    """How many units in the last place a float32 value is off."""
    unit = np.spacing(np.abs(truth).astype(np.float32)).astype(np.float64)
    return float((np.abs(value.astype(np.float64) - truth) / unit).max())


def floats():
    """Float32 numbers of every magnitude and sign, and many around where functions bend."""
    bits = np.arange(0, 0x7F800000, 4099, dtype=np.uint32)
    wide = bits.view(np.float32)
    near = np.linspace(0, 12, 200_001, dtype=np.float32)
    return np.concatenate([wide, -wide, near, -near])


@pytest.mark.parametrize("flags", [("-O2", "-std=c99"), ("-O3", "-march=native")], ids=str)
def test_tanh_and_sigmoid_are_within_their_bound(tmp_path, flags):
    functions = library(tmp_path, ("tanh", "sigmoid"), *flags)
    x = floats()
    normal = np.abs(x) > 1.2e-38
    assert ulps(functions["tanh"](x)[normal], np.tanh(x.astype(np.float64))[normal]) <= MOST_ULPS
    with np.errstate(over="ignore"):
        truth = 1 / (1 + np.exp(-x.astype(np.float64)))
    normal = truth > 1.2e-38
    assert ulps(functions["sigmoid"](x)[normal], truth[normal]) <= MOST_ULPS


def test_a_coefficient_that_is_off_is_found(tmp_path):
    spoiled = library(
        tmp_path, ("tanh",), "-O2", change=lambda t: t.replace("1.6666665459e-1f", "1.6668e-1f")
    )
    x = np.linspace(0.1, 3, 10_001, dtype=np.float32)
    assert ulps(spoiled["tanh"](x), np.tanh(x.astype(np.float64))) > MOST_ULPS


@pytest.mark.parametrize("flags", [(), ("-DMODEL_USE_LIBM",)], ids=["polynomial", "libm"])
def test_the_ends_are_exact_and_nan_propagates(tmp_path, flags):
    functions = library(tmp_path, ("tanh", "sigmoid"), "-O2", *flags)
    x = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 88.8, -200], np.float32)
    tanh, sigmoid = functions["tanh"](x), functions["sigmoid"](x)
    np.testing.assert_array_equal(tanh, np.array([1, -1, np.nan, 0, -0.0, 1, -1], np.float32))
    assert np.signbit(tanh[4])
    assert not np.signbit(tanh[3])
    np.testing.assert_array_equal(sigmoid, np.array([1, 0, np.nan, 0.5, 0.5, 1, 0], np.float32))


def test_libm_is_called_where_the_macro_says_so(tmp_path):
    (tmp_path / "plain").mkdir()
    (tmp_path / "libm").mkdir()
    for name, flags in (("plain", ()), ("libm", ("-DMODEL_USE_LIBM",))):
        library(tmp_path / name, ("tanh",), "-O2", *flags)
    used = {n: call("nm", "-u", "a.so", place=tmp_path / n) for n in ("plain", "libm")}
    assert "tanhf" in used["libm"]
    assert "tanhf" not in used["plain"]


def test_every_activation_of_the_cells_is_there_and_right(tmp_path):
    functions = library(tmp_path, tuple(ACTIVATIONS), "-O2")
    x = np.linspace(-9, 9, 4001, dtype=np.float32)
    for name, function in functions.items():
        truth = ACTIVATIONS[name](x.astype(np.float64))
        error = np.abs(function(x) - truth) / np.maximum(1, np.abs(truth))
        assert error.max() < 5e-7, name
        assert np.isnan(function(np.array([np.nan], np.float32))[0]), name
