"""How far float32 may carry a recurrent layer from the truth: a running bound, step by step.

Along the float64 trajectory of a layer every rounding error of a float32 step is bounded, and what
it does to all later steps is followed through the Jacobians of the steps between. To first order in
u, with P(t, k) = J_t J_(t-1) ... J_(k+1) and |.| taken element by element,

    |error of the state after step t|  <=  sum over k <= t of |P(t, k)| d_k

    d_k = |ds/da| (gamma_n (|x| |W| + |h| |R| + |b|) + |W| e_x)
          + ELEMENTS u (1 + |s before| + |s after|)

    u        2^-24, the unit roundoff of float32
    n        length of the longest sum, width + units + 4
    gamma_n  n u / (1 - n u): bounds a sum of n products in any order of summation
    e_x      how far the layer's own input may be off
    a        what goes into the gates' activations; ds/da the derivative of the states by it
    ELEMENTS for the activations' own error and the gates' products, one by one

Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed. 2002: gamma_n and its rules in
section 3.1 (Lemma 3.1, eq. 3.4), running error analysis in 3.3. The norm of P(T, 0) says how the
recurrence amplifies: its T-th root is the growth of an error per step.
"""

from dataclasses import dataclass

import numpy as np

from rnn_deploy.cells import Float, one_step
from rnn_deploy.spec import RecurrentLayer

UNIT_ROUNDOFF = 2.0**-24
ELEMENTS = 8.0
MOST_STATE = 256  # elements of a layer's states; beyond, the Jacobians cost more than they tell
_NUDGE = 1e-6


@dataclass(frozen=True)
class RunningBound:
    """Of one sequence: the bound of each state after each step, and an error's growth per step.

    states: (time, units) for each state.
    """

    states: tuple[Float, ...]
    growth: float


def running_bound(
    layer: RecurrentLayer,
    x: Float,
    before: tuple[Float, ...],
    mask: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]] | None" = None,
    input_error: float = 0.0,
) -> RunningBound | None:
    """The bound of one sequence x (time, width) from its states, each (units,).

    mask: (time,), steps that count. input_error: how far each element of x may be off, besides
    its own rounding. None where the states are too large for it.
    """
    sizes = [state.shape[0] for state in before]
    if sum(sizes) > MOST_STATE:
        return None
    order = range(len(x))[:: -1 if layer.go_backwards else 1]
    state = np.concatenate(before)
    whole = np.eye(len(state))
    carried: list[tuple[Float, Float]] = []  # P(t, k) and d_k
    bounds = []
    for t in order:
        if mask is None or mask[t]:
            jacobian, local, after = _step(layer, x[t], state, sizes, input_error)
            carried = [(jacobian @ product, error) for product, error in carried]
            carried.append((np.eye(len(state)), local))
            whole, state = jacobian @ whole, after
        bounds.append(sum((np.abs(p) @ d for p, d in carried), np.zeros(len(state))))
    steps = max(1, len(carried))
    growth = float(np.linalg.norm(whole, 2)) ** (1 / steps)
    return RunningBound(tuple(np.split(np.array(bounds), np.cumsum(sizes)[:-1], axis=1)), growth)


def _step(
    layer: RecurrentLayer, x: Float, state: Float, sizes: list[int], input_error: float
) -> tuple[Float, Float, Float]:
    """The Jacobian of one step by its states, the bound of its own errors, the states after."""
    gates = layer.kernel.shape[1]

    def run(states: Float, into: Float, recurrent: Float) -> Float:
        parts = tuple(np.split(states, np.cumsum(sizes)[:-1], axis=1))
        inputs = np.broadcast_to(x, (len(states), len(x)))
        return np.concatenate(one_step(layer, inputs, parts, nudges=(into, recurrent)), axis=1)

    def rows(vector: Float, count: int) -> Float:
        return np.broadcast_to(vector, (count, len(vector)))

    none = np.zeros(gates)
    nudged = _nudges(len(state))
    jacobian = _slopes(run(state + nudged, rows(none, len(nudged)), rows(none, len(nudged))))
    nudged = _nudges(gates)
    same = rows(state, len(nudged))
    by_input = _slopes(run(same, nudged, rows(none, len(nudged))))
    by_recurrent = _slopes(run(same, rows(none, len(nudged)), nudged))
    after = run(state[None], none[None], none[None])[0]
    into, recurrent = _sums(layer, x, state[: layer.units], input_error)
    if not layer.reset_after:  # both are one sum
        by_recurrent = by_input
    local = np.abs(by_input) @ into + np.abs(by_recurrent) @ recurrent
    local += ELEMENTS * UNIT_ROUNDOFF * (1 + np.abs(state) + np.abs(after))
    return jacobian, local, after


def _sums(layer: RecurrentLayer, x: Float, h: Float, input_error: float) -> tuple[Float, Float]:
    """Bounds of the rounding of both products, the input's and the recurrent state's."""
    kernel, recurrent = (
        np.abs(layer.kernel, dtype=float),
        np.abs(layer.recurrent_kernel, dtype=float),
    )
    count = kernel.shape[0] + recurrent.shape[0] + 4
    gamma = count * UNIT_ROUNDOFF / (1 - count * UNIT_ROUNDOFF)
    biases = np.zeros((2, kernel.shape[1]))
    if layer.bias is not None:
        given = np.abs(np.atleast_2d(layer.bias))
        biases[: len(given)] = given
    into = gamma * (np.abs(x) @ kernel + biases[0]) + input_error * kernel.sum(axis=0)
    return into, gamma * (np.abs(h) @ recurrent + biases[1])


def _nudges(size: int) -> Float:
    """Each unit vector times a small number, and each times its negative."""
    return _NUDGE * np.concatenate([np.eye(size), -np.eye(size)])


def _slopes(values: Float) -> Float:
    """Central differences of what `_nudges` gave: (outputs, inputs)."""
    up, down = np.split(values, 2)
    return np.asarray((up - down).T / (2 * _NUDGE))
