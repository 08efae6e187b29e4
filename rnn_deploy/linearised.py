"""One step of a recurrent layer, linearised: what a small change of its states or sums does.

With a_g the sum that goes into gate g and s_r the state of role r after the step,

    ds_r = sum over g of slopes[r, g] * da_g  +  sum over q of direct[r, q] * ds_q(before)

all of it unit by unit, and da_g = (dh before) R_g on the recurrent side, so the Jacobian is known
by a few vectors and R itself: it is applied without being written out. A GRU with reset_after
scales what the candidate takes from the recurrent product by its reset gate (`recurrent`); one
without multiplies h by it before the product (`reset`), which is a second product within the step.

Letters as in `cells`.
"""

from dataclasses import dataclass

import numpy as np

from rnn_deploy.cells import ACTIVATIONS, Float, one_step
from rnn_deploy.spec import RecurrentLayer

_NUDGE = 1e-6


@dataclass(frozen=True, eq=False)
class LinearStep:
    """slopes, recurrent: (roles, gates, units), by the sums of the input and of the recurrence;
    direct: (roles, roles, units), by the states before; reset: the reset gate, and what a change
    of its sum makes of h, (units,) each, of a GRU that resets before the product. after: the
    states, (roles * units,).
    """

    layer: RecurrentLayer
    slopes: Float
    recurrent: Float
    direct: Float
    after: Float
    reset: tuple[Float, Float] | None = None

    @property
    def kernels(self) -> list[Float]:
        """The recurrent weights of each gate, (units, units)."""
        R = self.layer.recurrent_kernel.astype(np.float64)
        return np.split(R, self.slopes.shape[1], axis=1)

    def forward(self, changes: Float) -> Float:
        """The Jacobian times changes (batch, roles * units) of the states before."""
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
        """The transposed Jacobian times weights (roles * units,) of the states after."""
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


def linear_step(layer: RecurrentLayer, x: Float, state: Float) -> LinearStep:
    """The step from `state` (roles * units,) on an input x (width,), linearised."""
    states = tuple(np.split(state, len(layer.roles)))
    none = np.zeros((1, layer.kernel.shape[1]))
    after = one_step(layer, x[None], tuple(s[None] for s in states), nudges=(none, none))
    W, b = layer.kernel.astype(np.float64), np.zeros((2, layer.kernel.shape[1]))
    if layer.bias is not None:
        given = np.atleast_2d(layer.bias.astype(np.float64))
        b[: len(given)] = given
    R, h = layer.recurrent_kernel.astype(np.float64), states[0]
    of_input, of_state = x @ W + b[0], h @ R + b[1]
    slopes, recurrent, direct, reset = _CELLS[layer.cell](layer, of_input, of_state, R, states)
    return LinearStep(
        layer, np.array(slopes), np.array(recurrent), np.array(direct),
        np.concatenate([s[0] for s in after]), reset,
    )  # fmt: skip


_Facts = tuple[list[list[Float]], list[list[Float]], list[list[Float]], tuple[Float, Float] | None]
_States = tuple[Float, ...]


def _simple_rnn(layer: RecurrentLayer, i: Float, r: Float, R: Float, s: _States) -> _Facts:
    slopes = [[_value(layer.activation, i + r)[1]]]
    return slopes, slopes, [[np.zeros_like(s[0])]], None


def _gru(layer: RecurrentLayer, i: Float, rec: Float, R: Float, s: _States) -> _Facts:
    (h,), zero = s, np.zeros_like(s[0])
    i_z, i_r, i_h = np.split(i, 3)
    r_z, r_r, r_h = np.split(rec, 3)
    z, dz = _value(layer.recurrent_activation, i_z + r_z)
    r, dr = _value(layer.recurrent_activation, i_r + r_r)
    if layer.reset_after:
        f, df = _value(layer.activation, i_h + r * r_h)
        by_h, by_r = (1 - z) * df, (1 - z) * df * r_h * dr
        return [[(h - f) * dz, by_r, by_h]], [[(h - f) * dz, by_r, by_h * r]], [[z]], None
    f, df = _value(layer.activation, i_h + (r * h) @ np.split(R, 3, axis=1)[2])
    slopes = [[(h - f) * dz, zero, (1 - z) * df]]
    return slopes, slopes, [[z]], (r, h * dr)


def _lstm(layer: RecurrentLayer, i: Float, rec: Float, R: Float, s: _States) -> _Facts:
    (_, c), zero = s, np.zeros_like(s[0])
    a_i, a_f, a_g, a_o = np.split(i + rec, 4)
    (i_, di), (f, df), (o, do) = (_value(layer.recurrent_activation, a) for a in (a_i, a_f, a_o))
    g, dg = _value(layer.activation, a_g)
    y, dy = _value(layer.activation, f * c + i_ * g)
    of_c = [di * g, df * c, i_ * dg, zero]
    of_h = [o * dy * slope for slope in of_c[:3]] + [do * y]
    return [of_h, of_c], [of_h, of_c], [[zero, o * dy * f], [zero, f]], None


_CELLS = {"simple_rnn": _simple_rnn, "gru": _gru, "lstm": _lstm}


def _value(name: str, a: Float) -> tuple[Float, Float]:
    """An activation's value and its slope, by central differences."""
    f = ACTIVATIONS[name]
    return f(a), (f(a + _NUDGE) - f(a - _NUDGE)) / (2 * _NUDGE)
