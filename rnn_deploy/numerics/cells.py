"""The recurrences in NumPy float64: one small function per cell, to compare with the paper.

This oracle shares no code with Keras or any runtime. In this module and `layouts`, letters follow
the literature: x input, h state, c cell state, W input weights, R recurrent weights, b bias, sigma
the gates' activation, f the other; all as Keras writes them.

    simple_rnn   h_t = f(x_t W + b + h_(t-1) R)                          Elman 1990
    gru          z, r gates; h_t = z h_(t-1) + (1 - z) f(...)            Cho et al. 2014
    lstm         i, f, o gates; c_t = f c_(t-1) + i f(...); h_t = o f(c) Hochreiter 1997, Gers 2000
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnn_deploy.spec import RecurrentLayer

Float = NDArray[np.float64]


def _softplus(x: Float) -> Float:
    return np.logaddexp(x, 0.0)


def _sigmoid(x: Float) -> Float:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _erfc(x: Float) -> Float:
    return np.vectorize(math.erfc, otypes=[np.float64])(x)


# In Keras 2 hard_sigmoid has another slope; it was the default of gates up to 2.2.
HARD_SIGMOID_OF_KERAS_2 = "hard_sigmoid_keras2"
ACTIVATIONS: dict[str, Callable[[Float], Float]] = {
    "tanh": np.tanh,
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0.0),
    "sigmoid": _sigmoid,
    "hard_sigmoid": lambda x: np.clip(x / 6.0 + 0.5, 0.0, 1.0),
    HARD_SIGMOID_OF_KERAS_2: lambda x: np.clip(0.2 * x + 0.5, 0.0, 1.0),
    "softsign": lambda x: x / (1.0 + np.abs(x)),
    "softplus": _softplus,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0.0))),
    "selu": lambda x: (
        1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0.0)))
    ),
    # TensorFlow stores this slope as float32, in every precision.
    "leaky_relu": lambda x: np.where(x > 0, x, np.float64(np.float32(0.2)) * x),
    "relu6": lambda x: np.clip(x, 0.0, 6.0),
    "silu": lambda x: x * _sigmoid(x),
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "exponential": np.exp,
    # TensorFlow stores this square root of one half as float32 too.
    "gelu": lambda x: 0.5 * x * _erfc(-x * np.float64(np.float32(np.sqrt(0.5)))),
    "celu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0.0))),
    "hard_silu": lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0),
    "hard_tanh": lambda x: np.clip(x, -1.0, 1.0),
    "log_sigmoid": lambda x: -_softplus(-x),
    "tanh_shrink": lambda x: x - np.tanh(x),
    "soft_shrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0.0),
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, x, 0.0),
    "squareplus": lambda x: 0.5 * (x + np.sqrt(x * x + 4.0)),
}

# Other definitions of these names, only to recognise faults.
MISTAKEN: dict[str, Callable[[Float], Float]] = {
    "hard_sigmoid of slope 0.2": lambda x: np.clip(0.2 * x + 0.5, 0.0, 1.0),
    "gelu by tanh": lambda x: (
        0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))
    ),
    "leaky_relu of slope 0.01": lambda x: np.where(x > 0, x, 0.01 * x),
    "leaky_relu of slope 0.3": lambda x: np.where(x > 0, x, 0.3 * x),
}


def run(
    layer: RecurrentLayer,
    x: Float,
    states: tuple[Float, ...],
    mask: NDArray[np.bool_] | None = None,
) -> tuple[Float, tuple[Float, ...]]:
    """Run `layer` over x (batch, time, width) from its states, each (batch, units), in float64.

    mask: (batch, time), the steps that count. Returns every step's output in the order processed
    (batch, time, units), and the last states.
    """
    step = _STEPS[layer.cell]
    weights = _Weights(layer)
    steps = x[:, ::-1] if layer.go_backwards else x
    counts = np.ones(x.shape[:2], bool) if mask is None else mask
    counts = counts[:, ::-1] if layer.go_backwards else counts
    outputs = []
    output = np.zeros_like(states[0]) if layer.initial_state else states[0]
    for t in range(steps.shape[1]):
        m = counts[:, t, None]
        after = step(weights, steps[:, t], *states)
        states = tuple(np.where(m, new, old) for new, old in zip(after, states, strict=True))
        output = np.where(m, after[0], 0.0 if layer.zero_output_for_mask else output)
        outputs.append(output)
    return np.stack(outputs, axis=1), states


@dataclass(frozen=True, eq=False)
class LayerRun:
    """One call of a stack of layers, as another implementation ran it.

    x: (batch, time, width). mask: (batch, time) or None. The states before and after: (batch,
    units) each, of all layers in order. The output: as the last layer returns it.
    """

    layers: tuple[RecurrentLayer, ...]
    x: NDArray[Any]
    mask: NDArray[np.bool_] | None
    before: tuple[NDArray[Any], ...]
    output: NDArray[Any]
    after: tuple[NDArray[Any], ...]

    @property
    def name(self) -> str:
        """Return the layer's name, without the name of its cell if it has several."""
        first = self.layers[0].name
        return first if len(self.layers) == 1 else first.removesuffix("_cell0")


def again(seen: LayerRun) -> tuple[Float, tuple[Float, ...]]:
    """Repeat a call with the recurrences of this module: return its output and final states."""
    x, mask, rest = seen.x.astype(np.float64), seen.mask, list(seen.before)
    after: list[Float] = []
    for layer in seen.layers:
        count = len(layer.state_shapes)
        states = tuple(state.astype(np.float64) for state in rest[:count])
        del rest[:count]
        x, finals = run(layer, x, states, mask)
        after += finals
        if mask is not None and layer.go_backwards:
            mask = mask[:, ::-1]  # the next layer runs over the steps in this order
    return (x if seen.layers[-1].return_sequences else x[:, -1]), tuple(after)


def one_step(
    layer: RecurrentLayer, x: Float, states: tuple[Float, ...], *, nudges: tuple[Float, Float]
) -> tuple[Float, ...]:
    """Compute one step: x (batch, width), states (batch, units) each. Return the states after it.

    nudges: (batch, gates * units) each, added to the contributions of the input and of the
    recurrent state to the gates. A rounding error there has the same effect.
    """
    weights = _Weights(layer)
    weights.b = [bias + nudge for bias, nudge in zip(weights.b, nudges, strict=True)]
    return _STEPS[layer.cell](weights, x, *states)


class _Weights:
    """A layer's weights and activations by the letters of the literature, in float64."""

    def __init__(self, layer: RecurrentLayer) -> None:
        gates = layer.kernel.shape[1] // layer.units
        self.W, self.R = layer.kernel.astype(np.float64), layer.recurrent_kernel.astype(np.float64)
        self.b: list[Float] = [np.zeros(gates * layer.units)] * 2  # of the input, the recurrence
        if layer.bias is not None:
            given = np.atleast_2d(layer.bias.astype(np.float64))
            self.b[: len(given)] = list(given)
        functions = ACTIVATIONS | MISTAKEN
        self.f = functions[layer.activation]
        self.sigma = functions[layer.recurrent_activation]
        self.reset_after = layer.reset_after


def _simple_rnn(w: _Weights, x: Float, h: Float) -> tuple[Float]:
    return (w.f(x @ w.W + w.b[0] + h @ w.R),)


def _gru(w: _Weights, x: Float, h: Float) -> tuple[Float]:
    x_z, x_r, x_h = np.split(x @ w.W + w.b[0], 3, axis=-1)
    R_z, R_r, R_h = np.split(w.R, 3, axis=-1)
    b_z, b_r, b_h = np.split(w.b[1], 3, axis=-1)
    z = w.sigma(x_z + h @ R_z + b_z)
    r = w.sigma(x_r + h @ R_r + b_r)
    recurrent = r * (h @ R_h + b_h) if w.reset_after else (r * h) @ R_h
    return (z * h + (1 - z) * w.f(x_h + recurrent),)


def _lstm(w: _Weights, x: Float, h: Float, c: Float) -> tuple[Float, Float]:
    i, f, g, o = np.split(x @ w.W + w.b[0] + h @ w.R, 4, axis=-1)
    c = w.sigma(f) * c + w.sigma(i) * w.f(g)
    return w.sigma(o) * w.f(c), c


_STEPS: dict[str, Callable[..., tuple[Float, ...]]] = {
    "simple_rnn": _simple_rnn,
    "gru": _gru,
    "lstm": _lstm,
}
