"""The NumPy float64 recurrence against Keras in float64, to 1e-12."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_deploy.cells import ACTIVATIONS, run
from rnn_deploy.spec import RecurrentLayer

EXACT = 1e-12


def layer_of(rng, width=3, units=4, **changes):
    """A RecurrentLayer with random weights."""
    facts = {
        "name": "rnn",
        "cell": "simple_rnn",
        "units": units,
        "kernel": (0.4 * rng.standard_normal((width, units))).astype(np.float32),
        "recurrent_kernel": (0.4 * rng.standard_normal((units, units))).astype(np.float32),
        "bias": (0.4 * rng.standard_normal(units)).astype(np.float32),
        "activation": "tanh",
        "go_backwards": False,
        "return_sequences": True,
        "steps": None,
        "initial_state": False,
    }
    return RecurrentLayer(**facts | changes)


def keras_in_float64(layer, x, h):
    """The same layer by Keras in float64: outputs of every step, and the last state."""
    twin = keras.layers.SimpleRNN(
        layer.units,
        activation=layer.activation,
        use_bias=layer.bias is not None,
        go_backwards=layer.go_backwards,
        return_sequences=True,
        return_state=True,
        dtype="float64",
    )
    twin.build(x.shape)
    weights = (layer.kernel, layer.recurrent_kernel, layer.bias)
    twin.set_weights([w.astype(np.float64) for w in weights if w is not None])
    return [value.numpy() for value in twin(x, initial_state=h)]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_recurrence_is_keras_own_in_float64(activation):
    rng = np.random.default_rng(list(map(ord, activation)))
    layer = layer_of(rng, activation=activation)
    layer.recurrent_kernel[:] *= 0.2  # so that what grows without bound (exp) stays finite
    x, h = rng.standard_normal((2, 5, 3)), rng.standard_normal((2, 4))
    for ours, theirs in zip(run(layer, x, h), keras_in_float64(layer, x, h), strict=True):
        assert ours.dtype == theirs.dtype == np.float64
        np.testing.assert_allclose(ours, theirs, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("changes", [{"go_backwards": True}, {"bias": None}], ids=str)
def test_recurrence_follows_the_layer_s_options(changes):
    rng = np.random.default_rng(7)
    layer = layer_of(rng, **changes)
    x, h = rng.standard_normal((3, 6, 3)), rng.standard_normal((3, 4))
    for ours, theirs in zip(run(layer, x, h), keras_in_float64(layer, x, h), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("weight", ["kernel", "recurrent_kernel", "bias"])
def test_a_changed_weight_shows(weight):
    rng = np.random.default_rng(8)
    layer = layer_of(rng)
    x, h = rng.standard_normal((1, 3, 3)), rng.standard_normal((1, 4))
    theirs, _ = keras_in_float64(layer, x, h)
    getattr(layer, weight).reshape(-1)[0] += 1e-4
    assert np.abs(run(layer, x, h)[0] - theirs).max() > 1e-7


@given(time=st.integers(2, 9), batch=st.integers(1, 3), seed=st.integers(0, 999), data=st.data())
@settings(max_examples=20, deadline=None)
def test_the_state_carries_everything_from_chunk_to_chunk(time, batch, seed, data):
    rng = np.random.default_rng(seed)
    layer = layer_of(rng)
    x, h = rng.standard_normal((batch, time, 3)), rng.standard_normal((batch, 4))
    cut = data.draw(st.integers(1, time - 1))
    first, between = run(layer, x[:, :cut], h)
    second, last = run(layer, x[:, cut:], between)
    whole, state = run(layer, x, h)
    assert np.array_equal(np.concatenate([first, second], axis=1), whole)
    assert np.array_equal(last, state)
    assert np.array_equal(whole[:, -1], state)


@pytest.mark.parametrize("activation", ["sigmoid", "softplus", "silu", "mish", "elu", "selu"])
def test_activations_do_not_overflow(activation):
    values = ACTIVATIONS[activation](np.array([-1e4, 1e4]))
    assert np.isfinite(values).all()
    assert values[0] <= values[1]
