"""The running bound of a list of cells: what leaves one cell is what enters the next."""

from dataclasses import replace

import numpy as np

from rnn_deploy.numerics.cells import LayerRun, again
from rnn_deploy.references.proving import bounds_of
from tests.support.float32_cells import in_float32, layer_of


def test_a_list_of_cells_has_a_bound_for_every_state():
    rng = np.random.default_rng(3)
    first = layer_of("lstm", name="rnn_cell0")
    second = layer_of("gru", width=6, name="rnn_cell1", reset_after=True)
    x = rng.standard_normal((1, 9, 5)).astype(np.float32)
    before = tuple(np.zeros((1, 6)) for _ in range(3))
    run = LayerRun((first, second), x, None, before, np.zeros(0), before)
    bounds = bounds_of(run, run)
    assert set(bounds) == {("rnn_cell0", "h"), ("rnn_cell0", "c"), ("rnn_cell1", "h")}
    ours = in_float32(first, x[0], rng)
    theirs = in_float32(second, ours[:, :6].astype(np.float32), rng)
    for step in range(9):
        _, true = again(replace(run, x=x[:, : step + 1]))
        found = (ours[step, :6], ours[step, 6:], theirs[step])
        allowed = (*(s[step] for s in bounds["rnn_cell0", "h"].states),
                   bounds["rnn_cell1", "h"].states[0][step])  # fmt: skip
        for value, truth, bound in zip(found, true, allowed, strict=True):
            assert np.all(np.abs(value - truth[0]) <= bound)
    entering = np.array([again(replace(run, x=x[:, : t + 1]))[1][0] for t in range(9)])
    alone = replace(run, layers=(second,), x=entering.swapaxes(0, 1), before=before[:1])
    exact = bounds_of(alone, alone)["rnn_cell1", "h"].states[0]
    assert np.all(bounds["rnn_cell1", "h"].states[0] > exact)  # what enters is not exact
