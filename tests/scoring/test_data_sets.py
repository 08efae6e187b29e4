"""Dask frames and Arrow batches get the same columns as files."""

import dask
import dask.dataframe
import numpy as np
import pyarrow.parquet as pq
import pytest

import rnn_deploy
from rnn_deploy.errors import InputError
from rnn_deploy.scoring.data_sets import score_dask_frame, score_ray_dataset
from tests.support.errors import raises
from tests.support.scoring import keys_for, result_in, sequences, steps_of, write_lists, write_long


@pytest.fixture
def frame(tmp_path):
    def read(place, parts=3):
        with dask.config.set({"dataframe.convert-string": False}):
            table = pq.read_table(place).to_pandas()
            return dask.dataframe.from_pandas(table, npartitions=parts, sort=False)

    return read


def computed(frame):
    with dask.config.set({"dataframe.convert-string": False}):
        found = frame.compute(scheduler="synchronous")
    assert list(found.columns) == list(frame.columns)
    return found


def assert_rows(found, expected):
    assert found["id"].tolist() == keys_for(expected)
    for value, wanted in zip(found["y"], expected, strict=True):
        np.testing.assert_allclose(np.stack(value), wanted, atol=2e-6)


def test_a_dask_frame_with_lists(bundle, rows, expected, frame, tmp_path):
    scored = score_dask_frame(
        bundle, frame(write_lists(tmp_path / "a.parquet", rows)), sequence="id", states=True
    )
    found = computed(scored)
    assert_rows(found, expected)
    assert found["error"].isna().all()
    assert any(name.startswith("state:") for name in found.columns)


def test_a_long_dask_frame(bundle, rows, expected, frame, tmp_path):
    place = write_long(tmp_path / "a.parquet", steps_of(rows))
    scored = score_dask_frame(
        bundle, frame(place, 1), sequence="id", order="t", features=["a", "b", "c"]
    )
    assert_rows(computed(scored), expected)


def test_lists_that_dask_turned_into_text_are_refused(bundle, tmp_path):
    table = pq.read_table(write_lists(tmp_path / "a.parquet", sequences())).to_pandas()
    frame = dask.dataframe.from_pandas(table, npartitions=1)
    with raises(InputError, "E-DATA-TYPE", "convert-string", "'x'"):
        score_dask_frame(bundle, frame, sequence="id")
    with raises(InputError, "E-DATA-COLUMN", "'nobody'"):
        score_dask_frame(bundle, frame.drop(columns="x"), sequence="nobody")


class RayLike:
    """The part of a Ray Dataset that is used: batches of an Arrow table."""

    def __init__(self, table):
        self.table = table

    def map_batches(self, function, *, batch_format, batch_size):
        assert batch_format == "pyarrow"
        starts = range(0, self.table.num_rows, batch_size)
        return [function(self.table.slice(start, batch_size)) for start in starts]


def test_batches_of_a_ray_dataset(bundle, rows, engine, tmp_path):
    pytest.importorskip("ray")
    place = write_lists(tmp_path / "a.parquet", rows)
    batches = score_ray_dataset(bundle, RayLike(pq.read_table(place)), sequence="id", block=15)
    assert [batch.num_rows for batch in batches] == [15, 15, 10]
    rnn_deploy.score(bundle, place, tmp_path / "out", sequence="id")
    whole = result_in(tmp_path / "out")
    for start, batch in zip((0, 15, 30), batches, strict=True):
        for name in ("id", "error"):
            assert batch[name].to_pylist() == whole[name].slice(start, 15).to_pylist()
        for one, other in zip(batch["y"], whole["y"].slice(start, 15), strict=True):
            np.testing.assert_allclose(one.as_py(), other.as_py(), atol=1e-6)
