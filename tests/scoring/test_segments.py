"""Segments give what separate runs give, in fewer and larger batches."""

import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.inference.rows import run_rows
from rnn_deploy.scoring.segments import can_segment, is_worth_it, run_in_segments
from rnn_deploy.spec import SEQUENCE, STREAM, Support
from tests.support.scoring import sequences


@pytest.fixture(scope="module")
def runner(bundle):
    return rnn_deploy.load(bundle, "ort-cpu").runner(STREAM)


@pytest.mark.parametrize("batch_size", [1, 7, 100])
@pytest.mark.parametrize("seed", [0, 1])
def test_outputs_and_states_are_those_of_separate_runs(runner, batch_size, seed):
    rows = sequences(30, most=40, seed=seed)
    rng = np.random.default_rng(seed)
    states = {
        s.tensor.name: rng.standard_normal((30, *s.tensor.shape[1:])).astype(np.float32)
        for s in runner.entry.states
    }
    for feeds in ({"x": rows}, {"x": rows, **states}):
        wanted = run_rows(runner.entry, feeds, runner.run)
        found = run_in_segments(runner.entry, feeds, runner.run, batch_size)
        assert found.keys() == wanted.keys()
        for name, values in wanted.items():
            for one, other in zip(found[name], values, strict=True):
                np.testing.assert_allclose(one, other, atol=2e-6, err_msg=name)


def test_every_step_is_computed_once_in_large_batches(runner):
    rows = sequences(30, most=40)
    shapes = []

    def call(feeds):
        shapes.append(feeds["x"].shape[:2])
        return runner.run(feeds)

    run_in_segments(runner.entry, {"x": rows}, call, 100)
    assert sum(batch * steps for batch, steps in shapes) == sum(map(len, rows))
    assert len(shapes) == len({len(row) for row in rows})
    assert shapes[0][0] == 30


def test_only_entry_points_that_may_be_chunked_are(runner, bundle):
    entry = runner.entry
    assert can_segment(entry)
    no = Support(False, "it looks ahead")
    manifest = rnn_deploy.load(bundle).bundle.manifest
    for other in (
        manifest.entry(SEQUENCE),
        type(entry)(entry.name, entry.inputs, entry.outputs, entry.states, no, entry.rows),
        type(entry)(entry.name, entry.inputs, entry.outputs, entry.states, entry.chunked, no),
    ):
        assert not can_segment(other)


def test_small_groups_are_worth_it():
    assert is_worth_it([3, 4, 4])
    assert not is_worth_it([3] * 500)
    assert not is_worth_it([3] * 50 + [4] * 50)
