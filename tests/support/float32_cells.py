"""Cells computed in float32, with every sum in a random order: what a runtime may compute."""

import numpy as np

from rnn_deploy.spec import RecurrentLayer
from tests.support.layers import GATES

RNG = np.random.default_rng(7)


def layer_of(cell, units=6, width=5, scale=0.4, **options):
    gates = GATES[cell] * units
    facts = {
        "name": "rnn", "cell": cell, "units": units, "go_backwards": False,
        "return_sequences": True, "steps": None, "initial_state": False,
        "kernel": RNG.standard_normal((width, gates)).astype(np.float32) * np.float32(scale),
        "recurrent_kernel": RNG.standard_normal((units, gates)).astype(np.float32)
        * np.float32(scale),
        "bias": RNG.standard_normal(((2, gates), (gates,))["reset_after" not in options]),
        "activation": "tanh", "recurrent_activation": "sigmoid",
    }  # fmt: skip
    return RecurrentLayer(**facts | options)


def product(a, b, order, cut):
    """a @ b in float32, summed one by one in an order."""
    total = np.zeros((b.shape[1],), np.float32)
    for k in order:
        total = cut(total + cut(np.float32(a[k]) * b[k]))
    return total


def sigmoid(x):
    return np.float32(1) / (np.float32(1) + np.exp(-x))


def in_float32(layer, x, rng, cut=lambda v: v):
    """The layer in float32, every sum in an order of its own: states after each step."""
    f32 = np.float32
    h, c = np.zeros(layer.units, f32), np.zeros(layer.units, f32)
    seen = []
    bias = np.atleast_2d(layer.bias)
    for t in range(len(x)):
        a = product(x[t], layer.kernel, rng.permutation(x.shape[1]), cut) + bias[0]
        r = product(h, layer.recurrent_kernel, rng.permutation(layer.units), cut)
        if layer.cell == "simple_rnn":
            h = cut(np.tanh(a + r))
        elif layer.cell == "lstm":
            i, f, g, o = np.split(a + r, 4)
            c = cut(sigmoid(f) * c + sigmoid(i) * np.tanh(g))
            h = cut(sigmoid(o) * np.tanh(c))
        else:
            r = r + bias[-1]
            z, reset = sigmoid(a[:6] + r[:6]), sigmoid(a[6:12] + r[6:12])
            h = cut(z * h + (1 - z) * np.tanh(a[12:] + reset * r[12:]))
        seen.append(np.concatenate([h, c]) if layer.cell == "lstm" else h)
    return np.array(seen)
