"""The Jacobian of a step, against differences of the step itself."""

import numpy as np
import pytest

from rnn_deploy.numerics.cells import one_step
from rnn_deploy.numerics.linearised import Linearised
from tests.support.layers import GATES, layer_of

VARIANTS = [
    *[(cell, {}) for cell in GATES],
    ("gru", {"reset_after": True}),
    ("lstm", {"activation": "softsign", "recurrent_activation": "sigmoid"}),
    ("gru", {"activation": "elu", "bias": None}),
]
NUDGE = 1e-6


def stepped(layer, x, state, sums=None):
    """The states after one step from `state` (roles * units,), as one vector."""
    nudges = (np.zeros((1, layer.kernel.shape[1])),) * 2 if sums is None else sums
    states = tuple(part[None] for part in np.split(state, len(layer.roles)))
    return np.concatenate([s[0] for s in one_step(layer, x[None], states, nudges=nudges)])


def differences(function, at):
    """The Jacobian of a function by central differences: a row per result."""
    columns = [(function(at + d) - function(at - d)) / (2 * NUDGE) for d in NUDGE * np.eye(len(at))]
    return np.stack(columns, axis=1)


@pytest.fixture(params=VARIANTS, ids=str)
def case(request):
    cell, changes = request.param
    rng = np.random.default_rng(5)
    layer = layer_of(rng, width=3, units=4, cell=cell, **changes)
    x, state = rng.standard_normal(3), 0.5 * rng.standard_normal(4 * len(layer.roles))
    return layer, x, state, Linearised(layer).step(x, state)


def test_the_states_after_are_those_of_the_step(case):
    layer, x, state, step = case
    np.testing.assert_allclose(step.after, stepped(layer, x, state), rtol=0, atol=1e-12)


def test_forward_is_the_jacobian_and_backward_its_transpose(case):
    layer, x, state, step = case
    expected = differences(lambda s: stepped(layer, x, s), state)
    identity = np.eye(len(state))
    np.testing.assert_allclose(step.forward(identity).T, expected, rtol=0, atol=1e-7)
    backward = np.stack([step.backward(row) for row in identity])
    np.testing.assert_allclose(backward, expected, rtol=0, atol=1e-7)


def test_slopes_are_by_the_sums_of_the_input(case):
    layer, x, state, step = case
    columns = layer.kernel.shape[1]

    def by_sums(change):
        return stepped(layer, x, state, (change[None], np.zeros((1, columns))))

    gates = columns // layer.units
    expected = differences(by_sums, np.zeros(columns)).reshape(len(layer.roles), layer.units, -1)
    for role in range(len(layer.roles)):
        for gate in range(gates):
            block = expected[role][:, gate * layer.units : (gate + 1) * layer.units]
            if step.reset is not None and gate == 1:
                continue  # what a reset gate before the product does goes through another product
            np.testing.assert_allclose(
                np.diag(step.slopes[role, gate]), block, rtol=0, atol=1e-7, err_msg=str(gate)
            )


def test_another_point_has_another_jacobian(case):
    layer, x, state, step = case
    moved = Linearised(layer).step(x, state + 0.3)
    identity = np.eye(len(state))
    assert not np.allclose(moved.forward(identity), step.forward(identity), atol=1e-3)
