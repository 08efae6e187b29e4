"""The running bound: float32 stays inside in any order of summation, bfloat16 does not."""

import numpy as np
import pytest

from rnn_deploy.numerics import cells, rounding
from rnn_deploy.numerics.linearised import Linearised
from rnn_deploy.numerics.rounding import running_bound
from tests.support.float32_cells import in_float32, layer_of

RNG = np.random.default_rng(7)


def truth(layer, x):
    states = tuple(np.zeros((1, *shape)) for shape in layer.state_shapes)
    seen = []
    for t in range(len(x)):
        _, states = cells.run(layer, x[None, t : t + 1].astype(np.float64), states)
        seen.append(np.concatenate([state[0] for state in states]))
    return np.array(seen)


def bound_of(layer, x, **options):
    before = tuple(np.zeros(shape) for shape in layer.state_shapes)
    return running_bound(layer, x.astype(np.float64), before, **options)


LAYERS = {
    "simple_rnn": layer_of("simple_rnn"),
    "gru": layer_of("gru", reset_after=True),
    "lstm": layer_of("lstm"),
}


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("seed", range(4))
def test_float32_stays_inside_whatever_its_order_of_summation(cell, seed):
    layer, rng = LAYERS[cell], np.random.default_rng(seed)
    x = rng.standard_normal((12, 5)).astype(np.float32)
    bound = np.concatenate(bound_of(layer, x).states, axis=1)
    error = np.abs(in_float32(layer, x, rng) - truth(layer, x))
    assert np.all(error <= bound)
    assert bound.max() < 1e-3  # and says something


@pytest.mark.parametrize("cell", LAYERS)
def test_bfloat16_leaves_it(cell):
    def cut(value):
        bits = np.asarray(value, np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
        return bits.view(np.float32)

    layer, rng = LAYERS[cell], np.random.default_rng(0)
    x = rng.standard_normal((12, 5)).astype(np.float32)
    bound = np.concatenate(bound_of(layer, x).states, axis=1)
    assert np.any(np.abs(in_float32(layer, x, rng, cut) - truth(layer, x)) > bound)


def test_growth_is_the_recurrence_s_own():
    grows, shrinks = (
        layer_of("simple_rnn", activation="linear", recurrent_kernel=factor * np.eye(6, dtype="f"))
        for factor in (1.5, 0.5)
    )
    x = RNG.standard_normal((8, 5)).astype(np.float32)
    assert bound_of(grows, x).growth == pytest.approx(1.5, rel=1e-4)
    assert bound_of(shrinks, x).growth == pytest.approx(0.5, rel=1e-4)


def test_a_masked_step_adds_nothing_and_backwards_runs_from_the_end():
    layer = LAYERS["simple_rnn"]
    x = RNG.standard_normal((6, 5)).astype(np.float32)
    mask = np.array([True, True, False, False, True, True])
    (masked,) = bound_of(layer, x, mask=mask).states
    assert np.array_equal(masked[1], masked[3])
    (short,) = bound_of(layer, x[mask]).states
    assert np.allclose(masked[-1], short[-1])
    back = layer_of("simple_rnn", **{n: getattr(layer, n) for n in ("kernel", "recurrent_kernel",
                    "bias")}, go_backwards=True)  # fmt: skip
    assert np.allclose(bound_of(back, x[::-1]).states[0], bound_of(layer, x).states[0])


def test_what_the_input_may_be_off_by_is_carried_on():
    layer = LAYERS["lstm"]
    x = RNG.standard_normal((4, 5)).astype(np.float32)
    exact, off = (bound_of(layer, x, input_error=e).states[0] for e in (0.0, 1e-3))
    assert np.all(off > exact)
    nudged = truth(layer, x + np.float32(1e-3) * RNG.choice([-1, 1], x.shape))
    assert np.all(np.abs(nudged - truth(layer, x))[:, :6] <= off * 1.05)


STEPS = {
    "simple_rnn": layer_of("simple_rnn", activation="selu"),
    "gru": layer_of("gru", reset_after=True, recurrent_activation="hard_sigmoid"),
    "gru, reset before": layer_of("gru", bias=RNG.standard_normal(18), activation="softsign"),
    "lstm": layer_of("lstm"),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_linearised_as_it_is(name):
    layer = STEPS[name]
    size = len(layer.roles) * layer.units
    state, x = RNG.standard_normal(size), RNG.standard_normal(5)
    none = np.zeros((1, layer.kernel.shape[1]))

    def after(values):
        parts = tuple(part[None] for part in np.split(values, len(layer.roles)))
        return np.concatenate(cells.one_step(layer, x[None], parts, nudges=(none, none)), axis=1)[0]

    step, unit = Linearised(layer).step(x, state), 1e-6 * np.eye(size)
    jacobian = np.stack([(after(state + e) - after(state - e)) / 2e-6 for e in unit], axis=1)
    assert np.allclose(step.after, after(state), atol=1e-12)
    assert np.allclose(step.forward(np.eye(size)).T, jacobian, atol=1e-8)
    backward = np.stack([step.backward(row) for row in np.eye(size)])
    assert np.allclose(backward, jacobian, atol=1e-8)


@pytest.mark.parametrize("cell", LAYERS)
def test_by_norms_it_holds_too_and_says_something(cell, monkeypatch):
    layer, rng = LAYERS[cell], np.random.default_rng(5)
    x = rng.standard_normal((12, 5)).astype(np.float32)
    written = bound_of(layer, x)
    monkeypatch.setattr(rounding, "MOST_WRITTEN", 0)
    norms = bound_of(layer, x)
    bound = np.concatenate(norms.states, axis=1)
    assert np.all(np.abs(in_float32(layer, x, rng) - truth(layer, x)) <= bound)
    assert bound.max() < 30 * np.concatenate(written.states, axis=1).max()
    assert norms.growth == pytest.approx(written.growth, rel=0.02)
    (nudge,) = 1e-4 * rng.choice([-1, 1], (1, *x.shape))
    (off, exact) = (bound_of(layer, x, input_error=e).states for e in (1e-4, 0.0))
    moved = np.abs(truth(layer, x.astype(np.float64) + nudge) - truth(layer, x))
    assert np.all(moved <= 1.02 * np.concatenate(off, axis=1))
    assert not np.all(moved <= np.concatenate(exact, axis=1))


def test_a_large_state_has_a_bound_at_the_cost_of_products_with_vectors():
    layer = layer_of("lstm", units=400, scale=0.05)
    x = RNG.standard_normal((6, 5)).astype(np.float32)
    found = bound_of(layer, x)
    assert [state.shape for state in found.states] == [(6, 400)] * 2
    assert 0 < found.states[0].max() < 0.05
