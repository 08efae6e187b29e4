"""The NumPy recurrences under masks. (test_cells.py compares them with Keras; this needs none.)"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_deploy.numerics.cells import run
from tests.support.layers import GATES, layer_of, states_of
from tests.support.masked import by_counted_steps, masks


@pytest.mark.parametrize("cell", GATES)
@given(mask=masks, flags=st.tuples(st.booleans(), st.booleans(), st.booleans()))
@settings(max_examples=40, deadline=None)
def test_a_masked_step_changes_nothing_and_repeats_the_output(cell, mask, flags):
    backwards, zero, given_state = flags
    layer = layer_of(
        np.random.default_rng(1),
        cell=cell,
        go_backwards=backwards,
        zero_output_for_mask=zero,
        initial_state=given_state,
        masked=True,
    )
    rng = np.random.default_rng(mask.size)
    x, states = rng.standard_normal((*mask.shape, 3)), states_of(rng, layer, len(mask))
    output, finals = run(layer, x, states, mask)
    expected, expected_finals = by_counted_steps(layer, x, states, mask)
    for ours, theirs in zip((output, *finals), (expected, *expected_finals), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13, strict=True)


@pytest.mark.parametrize("cell", GATES)
def test_what_a_masked_step_holds_is_never_read(cell):
    rng = np.random.default_rng(2)
    layer = layer_of(rng, cell=cell, masked=True)
    x, states = rng.standard_normal((2, 5, 3)), states_of(rng, layer, 2)
    mask = np.array([[True, False, True, False, False], [False, False, False, True, True]])
    output, finals = run(layer, x, states, mask)
    spoilt = np.where(mask[..., None], x, 1e6)
    again, again_finals = run(layer, spoilt, states, mask)
    for ours, theirs in zip((output, *finals), (again, *again_finals), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    moved, _ = run(layer, x, states, np.roll(mask, 1, axis=1))  # a fault that must be seen
    assert not np.allclose(output, moved, atol=1e-3)
