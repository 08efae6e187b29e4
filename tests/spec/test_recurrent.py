"""What a layer says of its states, its output and a stream, from its options alone."""

import numpy as np
import pytest

from rnn_deploy.spec import (
    BidirectionalLayers,
    Recurrence,
    TracedLayer,
    layers_of,
    roles_of,
    state_keys,
)
from tests.support.layers import layer_of

RNG = np.random.default_rng(0)


def traced(**changes):
    """A layer with a cell of the user's own: three states, an output of its own shape."""
    facts = {
        "name": "own",
        "cell": "Own",
        "units": 4,
        "go_backwards": False,
        "return_sequences": True,
        "steps": None,
        "initial_state": False,
        "step": None,
        "width": (3,),
        "state_shapes": ((4,), (2, 2), ()),
        "output_shape": (5,),
    }
    return TracedLayer(**facts | changes)


@pytest.mark.parametrize(
    ("cell", "roles"), [("simple_rnn", ("h",)), ("gru", ("h",)), ("lstm", ("h", "c"))]
)
def test_the_states_of_keras_cells(cell, roles):
    layer = layer_of(RNG, width=3, units=4, cell=cell)
    assert layer.roles == roles
    assert layer.state_shapes == ((4,),) * len(roles)
    assert (layer.output_shape, layer.width, layer.dtype) == ((4,), 3, np.float32)
    assert layer.output_is_state


def test_a_traced_cell_says_it_all_itself():
    assert traced().roles == ("h", "c", "s2")
    assert roles_of(4) == ("h", "c", "s2", "s3")
    assert not traced().output_is_state


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("own_output", [False, True])
def test_the_output_is_carried_only_where_it_may_differ_from_h(masked, zero, given, own_output):
    facts = {"masked": masked, "zero_output_for_mask": zero, "initial_state": given}
    layer = traced(**facts) if own_output else layer_of(RNG, **facts)
    assert layer.carries_output == (masked and (zero or given or own_output))


@pytest.mark.parametrize(
    ("facts", "free"),
    [({}, True), ({"initial_state": True}, False), ({"within_step": True}, False)],
)
def test_a_stream_gives_the_state_unless_the_model_does(facts, free):
    assert layer_of(RNG, **facts).free == free


def test_what_only_a_cell_knows_is_not_made_up():
    layer = Recurrence(
        name="r", cell="x", units=1, go_backwards=False, return_sequences=False, steps=1,
        initial_state=False,
    )  # fmt: skip
    for name in ("state_shapes", "output_shape", "dtype", "output_is_state"):
        with pytest.raises(NotImplementedError):
            getattr(layer, name)


def test_layers_and_states_stand_in_the_order_of_keras():
    a, b = layer_of(RNG, name="a", cell="lstm"), layer_of(RNG, name="b")
    assert layers_of((a, b)) == (a, b)
    assert layers_of(BidirectionalLayers("both", (a,), (b,), None)) == (a, b)
    assert state_keys((a, b)) == [("a", "h"), ("a", "c"), ("b", "h")]
