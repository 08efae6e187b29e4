"""One step of a recurrent layer, linearised: the effect of small changes of its states or sums.

With a_g the sum that goes into gate g and s_r the state of role r after the step,

    ds_r = sum over g of slopes[r, g] * da_g  +  sum over q of direct[r, q] * ds_q(before)

All of it is unit by unit, and da_g = (dh before) R_g on the recurrent side. So a few vectors and R
determine the Jacobian, and it is applied without being written out. A GRU with reset_after scales
the candidate's part of the recurrent product by its reset gate (`recurrent`). One without
multiplies h by it before the product (`reset`), which is a second product within the step.

Letters as in `cells`.
"""

from dataclasses import dataclass

import numpy as np

from rnn_deploy.numerics.cells import ACTIVATIONS, Float
from rnn_deploy.spec import RecurrentLayer

_NUDGE = 1e-6


@dataclass(frozen=True, eq=False)
class LinearStep:
    """The linearised step.

    slopes, recurrent: (roles, gates, units), for the sums of the input and of the recurrence.
    direct: (roles, roles, units), for the states before. reset: (units,) each, for a GRU that
    resets before the product: the reset gate, and the change of h with its sum. after: the states,
    (roles * units,). kernels: the recurrent weights of each gate, (units, units).
    """

    kernels: list[Float]
    slopes: Float
    recurrent: Float
    direct: Float
    after: Float
    reset: tuple[Float, Float] | None = None

    def forward(self, changes: Float) -> Float:
        """Return the Jacobian times changes (batch, roles * units) of the states before."""
        parts, R = np.split(changes, len(self.slopes), axis=-1), self.kernels
        sums = [parts[0] @ kernel for kernel in R]
        if self.reset is not None:
            r, by_sum = self.reset
            sums[2] = (r * parts[0] + by_sum * sums[1]) @ R[2]
        return np.concatenate(
            [
                sum((s * a for s, a in zip(of_role, sums, strict=True)), np.zeros(1))
                + sum((d * part for d, part in zip(direct, parts, strict=True)), np.zeros(1))
                for of_role, direct in zip(self.recurrent, self.direct, strict=True)
            ],
            axis=-1,
        )

    def backward(self, weights: Float) -> Float:
        """Return the transposed Jacobian times weights (roles * units,) of the states after."""
        parts, R = np.split(weights, len(self.slopes)), self.kernels
        sums = np.einsum("rgu,ru->gu", self.recurrent, np.stack(parts))
        before = np.einsum("rqu,ru->qu", self.direct, np.stack(parts))
        if self.reset is not None:
            r, by_sum = self.reset
            inner = R[2] @ sums[2]
            before[0] += r * inner
            sums = np.stack([sums[0], sums[1] + by_sum * inner])
        before[0] += sum((k @ a for k, a in zip(R, sums, strict=False)), np.zeros(1))
        return before.reshape(-1)


class Linearised:
    """A layer, prepared for linearisation at many steps.

    kernel, recurrent, bias: its weights in float64, the bias (2, gates * units) of both sums.
    """

    def __init__(self, layer: RecurrentLayer) -> None:
        self.layer = layer
        self.kernel = layer.kernel.astype(np.float64)
        self.recurrent = layer.recurrent_kernel.astype(np.float64)
        self.bias = np.zeros((2, self.kernel.shape[1]))
        if layer.bias is not None:
            given = np.atleast_2d(layer.bias.astype(np.float64))
            self.bias[: len(given)] = given
        gates = self.kernel.shape[1] // layer.units
        self.kernels = list(map(np.ascontiguousarray, np.split(self.recurrent, gates, axis=1)))

    def step(self, x: Float, state: Float) -> LinearStep:
        """Return the step from `state` (roles * units,) on an input x (width,), linearised."""
        states = tuple(np.split(state, len(self.layer.roles)))
        into = x @ self.kernel + self.bias[0]
        back = states[0] @ self.recurrent + self.bias[1]
        after, slopes, recurrent, direct, reset = _CELLS[self.layer.cell](
            self.layer, into, back, self.kernels, states
        )
        return LinearStep(
            self.kernels, np.array(slopes), np.array(recurrent), np.array(direct),
            np.concatenate(after), reset,
        )  # fmt: skip


_States = tuple[Float, ...]
_Slopes = list[list[Float]]
# The states after, slopes, recurrent, direct and reset of LinearStep.
_Facts = tuple[_States, _Slopes, _Slopes, _Slopes, tuple[Float, Float] | None]


def _simple_rnn(layer: RecurrentLayer, i: Float, r: Float, R: list[Float], s: _States) -> _Facts:
    h, slope = _value(layer.activation, i + r)
    return (h,), [[slope]], [[slope]], [[np.zeros_like(h)]], None


def _gru(layer: RecurrentLayer, i: Float, rec: Float, R: list[Float], s: _States) -> _Facts:
    (h,), zero = s, np.zeros_like(s[0])
    i_z, i_r, i_h = np.split(i, 3)
    r_z, r_r, r_h = np.split(rec, 3)
    z, dz = _value(layer.recurrent_activation, i_z + r_z)
    r, dr = _value(layer.recurrent_activation, i_r + r_r)
    if layer.reset_after:
        f, df = _value(layer.activation, i_h + r * r_h)
        by_z, by_r, by_h = (h - f) * dz, (1 - z) * df * r_h * dr, (1 - z) * df
        both = [[by_z, by_r, by_h]], [[by_z, by_r, by_h * r]]
        return (z * h + (1 - z) * f,), *both, [[z]], None
    f, df = _value(layer.activation, i_h + (r * h) @ R[2])
    slopes = [[(h - f) * dz, zero, (1 - z) * df]]
    return (z * h + (1 - z) * f,), slopes, slopes, [[z]], (r, h * dr)


def _lstm(layer: RecurrentLayer, i: Float, rec: Float, R: list[Float], s: _States) -> _Facts:
    (_, c), zero = s, np.zeros_like(s[0])
    a_i, a_f, a_g, a_o = np.split(i + rec, 4)
    (i_, di), (f, df), (o, do) = (_value(layer.recurrent_activation, a) for a in (a_i, a_f, a_o))
    g, dg = _value(layer.activation, a_g)
    c_after = f * c + i_ * g
    y, dy = _value(layer.activation, c_after)
    of_c = [di * g, df * c, i_ * dg, zero]
    of_h = [o * dy * slope for slope in of_c[:3]] + [do * y]
    slopes = [of_h, of_c]
    return (o * y, c_after), slopes, slopes, [[zero, o * dy * f], [zero, f]], None


_CELLS = {"simple_rnn": _simple_rnn, "gru": _gru, "lstm": _lstm}


def _value(name: str, a: Float) -> tuple[Float, Float]:
    """Return an activation's value and its slope, by central differences."""
    f = ACTIVATIONS[name]
    return f(a), (f(a + _NUDGE) - f(a - _NUDGE)) / (2 * _NUDGE)
