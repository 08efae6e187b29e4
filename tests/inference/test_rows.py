"""Sequences of different lengths and models with a fixed batch give what each row alone gives."""

from dataclasses import replace

import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.errors import InputError
from rnn_deploy.inference.rows import run_rows
from rnn_deploy.spec import EntryPoint, Support, TensorSpec
from tests.support.errors import raises


def entry_of(batch="batch", rows=True):
    return EntryPoint(
        "sequence",
        (TensorSpec("x", (batch, "time", 2), "float32"),),
        (
            TensorSpec("y", (batch, "time", 2), "float32"),
            TensorSpec("last", (batch, 2), "float32"),
        ),
        rows=Support(rows, "the rows depend on each other"),
    )


def call_of(seen, batch=None):
    def call(feeds):
        x = feeds["x"]
        seen.append(x.shape[:2])
        assert batch in (None, len(x))
        y = np.cumsum(x, axis=1)
        return {"y": y, "last": y[:, -1]}

    return call


def rows_of(*lengths):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 9, (n, 2)).astype("f") for n in lengths]


def test_rows_of_one_length_share_a_call_and_keep_their_order():
    xs, seen = rows_of(3, 5, 3, 1, 5), []
    done = run_rows(entry_of(), {"x": xs}, call_of(seen))
    assert sorted(seen) == [(1, 1), (2, 3), (2, 5)]
    assert isinstance(done["y"], list)
    for x, y in zip(xs, done["y"], strict=True):
        np.testing.assert_array_equal(y, np.cumsum(x, axis=0))
    np.testing.assert_array_equal(done["last"], [x.sum(axis=0) for x in xs])


@pytest.mark.parametrize(("batch", "calls"), [(1, 6), (2, 3), (3, 2), (6, 1)])
def test_a_fixed_batch_is_looped_over(batch, calls):
    x, seen = np.stack(rows_of(*[4] * 6)), []
    done = run_rows(entry_of(batch), {"x": x}, call_of(seen, batch))
    assert seen == [(batch, 4)] * calls
    np.testing.assert_array_equal(done["y"], np.cumsum(x, axis=1))


def test_a_fixed_batch_of_one_takes_every_length():
    xs, seen = rows_of(3, 5, 3), []
    done = run_rows(entry_of(1, rows=False), {"x": xs}, call_of(seen, 1))
    assert len(seen) == 3
    np.testing.assert_array_equal(done["last"], [x.sum(axis=0) for x in xs])


def test_batches_that_do_not_fit_are_left_to_the_runner():
    for entry in (entry_of(4), entry_of(3, rows=False)):
        seen = []
        run_rows(entry, {"x": np.stack(rows_of(*[2] * 6))}, call_of(seen))
        assert seen == [(6, 2)]


def test_rows_that_cannot_be_separated_are_refused():
    with raises(InputError, "E-INPUT-ONE-BATCH", "'x'", "depend on each other"):
        run_rows(entry_of(rows=False), {"x": rows_of(1, 2)}, call_of([]))
    turned = replace(entry_of(), outputs=(TensorSpec("y", ("time", "batch", 2), "float32"),))
    with raises(InputError, "E-INPUT-ONE-BATCH", "'y'"):
        run_rows(turned, {"x": rows_of(1, 2)}, call_of([]))


def test_inputs_with_different_numbers_of_sequences_are_refused():
    with raises(InputError, "E-INPUT-ROWS", "'x' 2", "'z' 3"):
        run_rows(entry_of(), {"x": rows_of(1, 2), "z": np.ones((3, 1))}, call_of([]))


@pytest.mark.parametrize("runtime", ["ort-cpu", "litert"])
@pytest.mark.parametrize("batch_size", [None, 2])
def test_predict_gives_each_sequence_what_it_gets_alone(small_bundle, x, runtime, batch_size):
    model = rnn_deploy.load(small_bundle, runtime)
    sequences = [x[0], x[1, :4], x[1], x[0, 2:3], x[1, 2:]]
    lists = [row.tolist() for row in sequences]
    for given in (sequences, lists, {"x": [row.astype("d") for row in sequences]}):
        ys = model.predict(given, batch_size=batch_size)
        assert isinstance(ys, list)
        for row, y in zip(sequences, ys, strict=True):
            np.testing.assert_allclose(y, model.predict(row[None])[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(model.predict(x.astype("d").tolist()), model.predict(x), atol=1e-6)
