"""Keras' weights in ONNX's layout, compared with the operators' definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_deploy.numerics.cells import run
from rnn_deploy.numerics.layouts import onnx_weights
from tests.support.layers import GATES, layer_of, states_of


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def as_onnx_defines_it(layer, W, R, B, x, states):
    """The operators RNN, GRU, LSTM as ONNX' specification writes them; X time first."""
    gates = GATES[layer.cell]
    Ws, Rs = np.split(W[0].astype(float), gates), np.split(R[0].astype(float), gates)
    Bs = np.zeros((2 * gates, layer.units)) if B is None else B.reshape(2 * gates, -1).astype(float)
    Wb, Rb = Bs[:gates], Bs[gates:]
    h, *c = states
    outputs = []
    for X in x:
        a = [X @ Ws[g].T + Wb[g] for g in range(gates)]
        b = [h @ Rs[g].T + Rb[g] for g in range(gates)]
        if layer.cell == "simple_rnn":
            h = np.tanh(a[0] + b[0])
        elif layer.cell == "gru":  # zrh
            z, r = sigmoid(a[0] + b[0]), sigmoid(a[1] + b[1])
            before = np.tanh(a[2] + (r * h) @ Rs[2].T + Rb[2])
            h = (1 - z) * (np.tanh(a[2] + r * b[2]) if layer.reset_after else before) + z * h
        else:  # iofc
            i, o, f = (sigmoid(a[g] + b[g]) for g in range(3))
            c = [f * c[0] + i * np.tanh(a[3] + b[3])]
            h = o * np.tanh(c[0])
        outputs.append(h)
    return np.stack(outputs).transpose(1, 0, 2)


@given(
    width=st.integers(1, 5), units=st.integers(1, 5), bias=st.booleans(), reset=st.booleans(),
    cell=st.sampled_from(sorted(GATES)),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_onnx_layout_computes_what_keras_weights_do(width, units, bias, reset, cell):
    rng = np.random.default_rng([width, units])
    options = {"reset_after": reset and cell == "gru"} | ({} if bias else {"bias": None})
    layer = layer_of(rng, width, units, cell, **options)
    x, states = rng.standard_normal((2, 3, width)), states_of(rng, layer, 2)
    found = as_onnx_defines_it(layer, *onnx_weights(layer), x.transpose(1, 0, 2), states)
    np.testing.assert_allclose(found, run(layer, x, states)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cell", GATES)
def test_onnx_layout_has_the_operator_s_shapes(cell, bias):
    layer = layer_of(np.random.default_rng(0), cell=cell, **({} if bias else {"bias": None}))
    W, R, B = onnx_weights(layer)
    rows = GATES[cell] * 4
    assert (W.shape, R.shape) == ((1, rows, 3), (1, rows, 4))
    assert W.flags.c_contiguous
    assert R.flags.c_contiguous
    assert (None if B is None else B.shape) == ((1, 2 * rows) if bias else None)
    assert {a.dtype for a in (W, R, B) if a is not None} == {np.dtype(np.float32)}


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_swapped_gates_show(cell):
    rng = np.random.default_rng(1)
    layer = layer_of(rng, cell=cell)
    x, states = rng.standard_normal((1, 4, 3)), states_of(rng, layer, 1)
    W, R, B = onnx_weights(layer)
    swapped = np.concatenate([W[:, 4:8], W[:, :4], W[:, 8:]], axis=1)
    wrong = as_onnx_defines_it(layer, swapped, R, B, x.transpose(1, 0, 2), states)
    assert np.abs(wrong - run(layer, x, states)[0]).max() > 0.01


def test_a_transposed_recurrent_kernel_shows():
    rng = np.random.default_rng(1)
    layer = layer_of(rng)
    x, states = rng.standard_normal((1, 2, 3)), states_of(rng, layer, 1)
    W, R, B = onnx_weights(layer)
    wrong = as_onnx_defines_it(layer, W, R.transpose(0, 2, 1), B, x.transpose(1, 0, 2), states)
    assert np.abs(wrong - run(layer, x, states)[0]).max() > 0.01
