"""Masked recurrences the long way: each row alone, over the steps that count and no others."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rnn_deploy.numerics.cells import run

# Batch x time: rows without a step that counts, rows without a gap, and everything between.
masks = st.tuples(st.integers(1, 3), st.integers(1, 7)).flatmap(
    lambda shape: st.one_of(
        arrays.arrays(bool, shape), st.just(np.zeros(shape, bool)), st.just(np.ones(shape, bool))
    )
)


def by_counted_steps(layer, x, states, mask):
    """Outputs in the order processed (batch, time, units), and last states, in float64.

    No mask reaches the recurrence: the steps that count are taken out of each row and run; every
    other step repeats the output before it, or is zero.
    """
    outputs = np.zeros((*mask.shape, layer.units))
    finals = [state.astype(np.float64) for state in states]
    for row, counts in enumerate(mask):
        own = tuple(state[row : row + 1] for state in states)
        steps = range(len(counts))[:: -1 if layer.go_backwards else 1]
        counted = sorted(np.flatnonzero(counts))
        held = np.zeros(layer.units) if layer.initial_state else own[0][0]
        if counted:
            ran, after = run(layer, x[row : row + 1, counted], own)
            for state, final in zip(finals, after, strict=True):
                state[row] = final[0]
        done = 0
        for place, step in enumerate(steps):
            if counts[step]:
                held, done = ran[0, done], done + 1
            blank = layer.zero_output_for_mask and not counts[step]
            outputs[row, place] = 0.0 if blank else held
    return outputs, tuple(finals)
