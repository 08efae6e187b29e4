"""Keras' weights in ONNX's layout, held against the operator RNN's own definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_deploy.cells import run
from rnn_deploy.layouts import onnx_rnn
from tests.test_cells import layer_of


def rnn_as_onnx_defines_it(W, R, B, x, h):
    """Ht = tanh(Xt W^T + Ht-1 R^T + Wb + Rb), X time first, one direction."""
    units = R.shape[2]
    bias = 0.0 if B is None else B[0, :units] + B[0, units:]
    outputs = []
    for x_t in x:
        h = np.tanh(x_t @ W[0].T + h @ R[0].T + bias)
        outputs.append(h)
    return np.stack(outputs)


@given(width=st.integers(1, 5), units=st.integers(1, 5), bias=st.booleans())
@settings(max_examples=20, deadline=None)
def test_onnx_layout_computes_what_keras_weights_do(width, units, bias):
    rng = np.random.default_rng([width, units])
    layer = layer_of(rng, width, units, **({} if bias else {"bias": None}))
    x, h = rng.standard_normal((2, 3, width)), rng.standard_normal((2, units))
    W, R, B = onnx_rnn(layer)
    found = rnn_as_onnx_defines_it(W, R, B, x.transpose(1, 0, 2), h).transpose(1, 0, 2)
    np.testing.assert_allclose(found, run(layer, x, h)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
def test_onnx_layout_has_the_operator_s_shapes(bias):
    layer = layer_of(np.random.default_rng(0), **({} if bias else {"bias": None}))
    W, R, B = onnx_rnn(layer)
    assert (W.shape, R.shape) == ((1, 4, 3), (1, 4, 4))
    assert W.flags.c_contiguous
    assert R.flags.c_contiguous
    assert (None if B is None else B.shape) == ((1, 8) if bias else None)
    assert {a.dtype for a in (W, R, B) if a is not None} == {np.dtype(np.float32)}


def test_a_transposed_recurrent_kernel_shows():
    rng = np.random.default_rng(1)
    layer = layer_of(rng)
    x, h = rng.standard_normal((1, 2, 3)), rng.standard_normal((1, 4))
    W, R, B = onnx_rnn(layer)
    wrong = rnn_as_onnx_defines_it(W, R.transpose(0, 2, 1), B, x.transpose(1, 0, 2), h)
    assert np.abs(wrong.transpose(1, 0, 2) - run(layer, x, h)[0]).max() > 0.01
