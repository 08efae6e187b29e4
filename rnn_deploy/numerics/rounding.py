"""The largest possible error of a recurrent layer in float32: a running bound, step by step.

Along the float64 trajectory of a layer, every rounding error of a float32 step is bounded. Its
effect on all later steps follows from the Jacobians J of the steps between (`linearised.py`). To
first order in u, with P(t, k) = J_t J_(t-1) ... J_(k+1) and |.| taken element by element,

    |error of the state after step t|  <=  sum over k <= t of |P(t, k)| d_k

    d_k = |ds/da| (gamma_n (|x| |W| + |h| |R| + |b|) + e_x |W|)
          + ELEMENTS u (1 + |s before| + |s after|)

    u        2^-24, the unit roundoff of float32
    n        length of the longest sum, width + units + 4
    gamma_n  n u / (1 - n u): bounds a sum of n products in any order of summation
    e_x      the largest error of the layer's own input
    a        the input of the gates' activations; ds/da the derivative of the states by it
    ELEMENTS for the activations' own error and the gates' products, each on its own

The products cost steps^2 state^3. Beyond MOST_WRITTEN elements of state, norms replace the
Jacobians, at the cost of some matrix-vector products a step:

    |error_i after step t|  <=  d_t,i + |row i of J_t| b_(t-1)
    b_t = min(|J_t| b_(t-1) + |d_t|, |these bounds of all i|)

with |.| the 2-norm: of J_t by power iteration, increased by a tenth because that may
underestimate; of a row by the norms of R.

Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed. 2002: gamma_n and its rules in
section 3.1 (Lemma 3.1, eq. 3.4), running error analysis in 3.3, norms in 6.2. The norm of P(T, 0)
is the amplification of the recurrence: its T-th root is the growth of an error per step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rnn_deploy.numerics.cells import Float
from rnn_deploy.numerics.linearised import Linearised, LinearStep
from rnn_deploy.spec import RecurrentLayer

UNIT_ROUNDOFF = 2.0**-24
ELEMENTS = 8.0
MOST_WRITTEN = 64  # the most elements of a layer's states for which Jacobians are written out
ROUNDS, MISSED = 8, 1.1  # of the power iteration

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class RunningBound:
    """The bound of each state of a sequence after each step, and an error's growth per step.

    states: (time, units) for each state, in the order in which the steps are run.
    """

    states: tuple[Float, ...]
    growth: float


def running_bound(
    layer: RecurrentLayer,
    x: Float,
    before: tuple[Float, ...],
    mask: Mask | None = None,
    input_error: float | Float = 0.0,
) -> RunningBound:
    """Return the bound of one sequence x (time, width) from its states, each (units,).

    mask: (time,), the steps that count. input_error: the largest error of each element of x,
    besides its own rounding: one number, or (time, width).
    """
    state, ready = np.concatenate(before), Linearised(layer)
    own = _StepErrors(ready)
    errors = np.broadcast_to(input_error, x.shape)
    follow = _JacobianBound if len(state) <= MOST_WRITTEN else _NormBound
    followed, bounds = follow(len(state)), []
    for t in range(len(x))[:: -1 if layer.go_backwards else 1]:
        if mask is None or mask[t]:
            step = ready.step(x[t], state)
            followed.add(step, own.of(step, x[t], state, errors[t]))
            state = step.after
        bounds.append(followed.bound)
    sizes = np.cumsum([len(part) for part in before])[:-1]
    return RunningBound(tuple(np.split(np.array(bounds), sizes, axis=1)), followed.growth)


class _JacobianBound:
    """The bound from every single error, through Jacobians that are written out."""

    def __init__(self, size: int) -> None:
        self.bound: Float = np.zeros(size)
        self._whole = np.eye(size)
        self._carried: list[tuple[Float, Float]] = []  # P(t, k) and d_k

    def add(self, step: LinearStep, local: Float) -> None:
        jacobian = step.forward(np.eye(len(local))).T
        self._carried = [(jacobian @ product, error) for product, error in self._carried]
        self._carried.append((np.eye(len(local)), local))
        self._whole = jacobian @ self._whole
        self.bound = sum((np.abs(p) @ d for p, d in self._carried), np.zeros(len(local)))

    @property
    def growth(self) -> float:
        steps = max(1, len(self._carried))
        return float(np.linalg.norm(self._whole, 2)) ** (1 / steps)


class _NormBound:
    """The bound from all errors together, through norms."""

    def __init__(self, size: int) -> None:
        self.bound: Float = np.zeros(size)
        self._steps: list[LinearStep] = []
        self._all = 0.0  # the 2-norm of the error
        self._start = np.random.default_rng(size).standard_normal(size)

    def add(self, step: LinearStep, local: Float) -> None:
        norm, self._start = _norm([step], self._start)
        self.bound = local + _row_norms(step, self._start) * self._all
        by_norms = MISSED * norm * self._all + float(np.linalg.norm(local))
        self._all = min(by_norms, float(np.linalg.norm(self.bound)))
        self._steps.append(step)

    @property
    def growth(self) -> float:
        norm, _ = _norm(self._steps, self._start)
        return norm ** (1 / max(1, len(self._steps)))


def _norm(steps: Sequence[LinearStep], start: Float) -> tuple[float, Float]:
    """Return the 2-norm of the product of all Jacobians by power iteration, and its vector."""
    vector, norm = start / np.linalg.norm(start), 1.0
    for _ in range(ROUNDS if steps else 0):
        changed = vector
        for step in steps:
            changed = step.forward(changed)
        norm = float(np.linalg.norm(changed))
        for step in reversed(steps):
            changed = step.backward(changed)
        size = float(np.linalg.norm(changed))
        if not 0 < size < np.inf:
            return norm, vector
        vector = changed / size
    return norm, vector


def _row_norms(step: LinearStep, start: Float) -> Float:
    """Bound the 2-norm of each row of the Jacobian by the sum of the norms of its terms."""
    columns = [np.sqrt(np.einsum("ij,ij->j", kernel, kernel)) for kernel in step.kernels]
    if step.reset is not None:
        columns[2] = columns[2] * _reset_norm(step, start)
    of_sums = np.einsum("rgu,gu->ru", np.abs(step.recurrent), np.array(columns))
    return np.asarray((of_sums + np.abs(step.direct).sum(axis=1)).reshape(-1))


def _reset_norm(step: LinearStep, start: Float) -> float:
    """Bound the 2-norm of diag(r) + R_r diag(h r'), by the Frobenius norm of the second term."""
    assert step.reset is not None
    r, by_sum = step.reset
    return float(np.abs(r).max() + np.linalg.norm(step.kernels[1] * by_sum))


class _StepErrors:
    """The largest errors that one step of a layer can add to each state."""

    def __init__(self, layer: Linearised) -> None:
        self._units = layer.layer.units
        self._kernel, self._recurrent = np.abs(layer.kernel), np.abs(layer.recurrent)
        self._bias = np.abs(layer.bias)
        count = len(self._kernel) + len(self._recurrent) + 4
        self._gamma = count * UNIT_ROUNDOFF / (1 - count * UNIT_ROUNDOFF)

    def of(self, step: LinearStep, x: Float, state: Float, input_error: Float) -> Float:
        """Return the bound for a step from `state` on x (width,)."""
        h = np.abs(state[: self._units])
        into = self._gamma * (np.abs(x) @ self._kernel + self._bias[0])
        into = (into + input_error @ self._kernel).reshape(-1, self._units)
        back = (self._gamma * (h @ self._recurrent + self._bias[1])).reshape(into.shape)
        if step.reset is not None:  # the error of the reset gate goes through another product
            by_reset = np.abs(step.reset[1]) * (into[1] + back[1])
            into[2] += by_reset @ self._recurrent[:, 2 * self._units :]
        own = np.einsum("rgu,gu->ru", np.abs(step.slopes), into)
        own += np.einsum("rgu,gu->ru", np.abs(step.recurrent), back)
        size = 1 + np.abs(state) + np.abs(step.after)
        return own.reshape(-1) + ELEMENTS * UNIT_ROUNDOFF * size
