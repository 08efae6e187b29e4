"""The NumPy float64 recurrence against Keras in float64, to 1e-12."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_deploy.numerics.cells import ACTIVATIONS, run
from tests.support.layers import GATES, layer_of, states_of

EXACT = 1e-12


KERAS = {"simple_rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM"}


def keras_in_float64(layer, x, states, mask=None):
    """The same layer by Keras in float64: outputs of every step, and the last states."""
    gates = {"recurrent_activation": layer.recurrent_activation}
    reset = {"reset_after": layer.reset_after}
    twin = getattr(keras.layers, KERAS[layer.cell])(
        layer.units,
        activation=layer.activation,
        use_bias=layer.bias is not None,
        go_backwards=layer.go_backwards,
        zero_output_for_mask=layer.zero_output_for_mask,
        return_sequences=True,
        return_state=True,
        dtype="float64",
        **({} if layer.cell == "simple_rnn" else gates),
        **(reset if layer.cell == "gru" else {}),
    )
    twin.build(x.shape)
    weights = (layer.kernel, layer.recurrent_kernel, layer.bias)
    twin.set_weights([w.astype(np.float64) for w in weights if w is not None])
    output, *last = twin(x, initial_state=list(states), mask=mask)
    return output.numpy(), tuple(state.numpy() for state in last)


def assert_alike(ours, theirs):
    (output, states), (keras_output, keras_states) = ours, theirs
    for a, b in zip((output, *states), (keras_output, *keras_states), strict=True):
        assert a.dtype == b.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("cell", GATES)
def test_recurrence_is_keras_own_in_float64(cell, activation):
    rng = np.random.default_rng(list(map(ord, cell + activation)))
    layer = layer_of(rng, cell=cell, activation=activation)
    layer.recurrent_kernel[:] *= 0.2  # so that what grows without bound (exp) stays finite
    x, states = rng.standard_normal((2, 5, 3)), states_of(rng, layer, 2)
    assert_alike(run(layer, x, states), keras_in_float64(layer, x, states))


@pytest.mark.parametrize(
    "changes",
    [
        {"go_backwards": True},
        {"bias": None},
        {"cell": "gru", "reset_after": True},
        {"cell": "gru", "reset_after": True, "bias": None},
        {"cell": "gru", "recurrent_activation": "hard_sigmoid"},
        {"cell": "lstm", "recurrent_activation": "hard_sigmoid", "go_backwards": True},
        {"cell": "lstm", "bias": None},
    ],
    ids=str,
)
def test_recurrence_follows_the_layer_s_options(changes):
    rng = np.random.default_rng(7)
    layer = layer_of(rng, **changes)
    x, states = rng.standard_normal((3, 6, 3)), states_of(rng, layer, 3)
    assert_alike(run(layer, x, states), keras_in_float64(layer, x, states))


@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("backwards", [True, False])
@pytest.mark.parametrize("cell", GATES)
def test_masked_steps_are_held_back_as_keras_does(cell, backwards, zero):
    rng = np.random.default_rng(9)
    layer = layer_of(
        rng, cell=cell, masked=True, zero_output_for_mask=zero, go_backwards=backwards,
        initial_state=True,
    )  # fmt: skip
    x, states = rng.standard_normal((4, 6, 3)), states_of(rng, layer, 4)
    mask = np.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1], [1, 0, 1, 0, 1, 0], [0] * 6], bool)
    found = run(layer, x, states, mask)
    assert_alike(found, keras_in_float64(layer, x, states, mask))
    assert np.abs(found[0] - run(layer, x, states)[0]).max() > 0.01


@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("weight", ["kernel", "recurrent_kernel", "bias"])
def test_a_changed_weight_shows(weight, cell):
    rng = np.random.default_rng(8)
    layer = layer_of(rng, cell=cell)
    x, states = rng.standard_normal((1, 3, 3)), states_of(rng, layer, 1)
    theirs, _ = keras_in_float64(layer, x, states)
    getattr(layer, weight).reshape(-1)[0] += 1e-4
    assert np.abs(run(layer, x, states)[0] - theirs).max() > 1e-7


@given(
    time=st.integers(2, 9), batch=st.integers(1, 3), seed=st.integers(0, 999),
    cell=st.sampled_from(sorted(GATES)), data=st.data(),
)  # fmt: skip
@settings(max_examples=20, deadline=None)
def test_the_state_carries_everything_from_chunk_to_chunk(time, batch, seed, cell, data):
    rng = np.random.default_rng(seed)
    layer = layer_of(rng, cell=cell, masked=True)
    x, states = rng.standard_normal((batch, time, 3)), states_of(rng, layer, batch)
    mask = rng.random((batch, time)) < 0.7
    cut = data.draw(st.integers(1, time - 1))
    first, between = run(layer, x[:, :cut], states, mask[:, :cut])
    second, last = run(layer, x[:, cut:], between, mask[:, cut:])
    whole, state = run(layer, x, states, mask)
    assert np.array_equal(np.concatenate([first, second], axis=1), whole)
    assert np.array_equal(last, state)
    assert np.array_equal(whole[:, -1], state[0])


@pytest.mark.parametrize("activation", ["sigmoid", "softplus", "silu", "mish", "elu", "selu"])
def test_activations_do_not_overflow(activation):
    values = ACTIVATIONS[activation](np.array([-1e4, 1e4]))
    assert np.isfinite(values).all()
    assert values[0] <= values[1]
