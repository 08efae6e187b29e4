"""Data sets and an engine without processes, for tests of scoring."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

from rnn_deploy.scoring.shard import score_shard


class InProcess:
    """Scores shards one after another in this process."""

    def __init__(self):
        self.ran = []

    def run(self, job, shards, options):
        for shard in shards:
            self.ran.append(shard.number)
            yield score_shard(job, shard)


def sequences(count=40, most=9, width=3, seed=0):
    """Random float32 sequences of different lengths, (steps, width) each."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, most, count)
    return [rng.standard_normal((n, width)).astype(np.float32) for n in lengths]


def keys_for(rows):
    """A key for each sequence, not in the order of the alphabet."""
    return [f"k{i}" for i in range(len(rows))]


def write_lists(place, rows, keys=None, name="x", group=10):
    """A Parquet file with a row for each sequence."""
    kind = pa.list_(pa.list_(pa.float32(), rows[0].shape[1]))
    columns = {"id": keys or keys_for(rows), name: pa.array([r.tolist() for r in rows], kind)}
    pq.write_table(pa.table(columns), place, row_group_size=group)
    return place


def steps_of(rows, keys=None):
    """The rows of a long table: key, time, features."""
    keys = keys or keys_for(rows)
    return [
        (k, t, *map(float, v)) for k, r in zip(keys, rows, strict=True) for t, v in enumerate(r)
    ]


def write_long(place, steps, group=17):
    """A Parquet file with a row for each step, whose row groups end within sequences."""
    names = ["id", "t", "a", "b", "c"]
    columns = {name: [step[i] for step in steps] for i, name in enumerate(names)}
    pq.write_table(pa.table(columns), place, row_group_size=group)
    return place


def write_csv(place, steps):
    """A .csv file with a line for each step."""
    with place.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "t", "a", "b", "c"])
        writer.writerows(steps)
    return place


def write_jsonl(place, rows, keys=None):
    """A .jsonl file with a line for each sequence."""
    lines = [
        json.dumps({"id": k, "x": r.tolist()})
        for k, r in zip(keys or keys_for(rows), rows, strict=True)
    ]
    place.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return place


def write_npz(place, rows, save=np.savez):
    """An .npz file with values, offsets and keys."""
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    save(place, x=np.concatenate(rows), offsets=offsets, id=np.array(keys_for(rows)))
    return place


def result_in(folder):
    """All parts of an output folder as one table, in order."""
    return pyarrow.dataset.dataset(folder, format="parquet").to_table()


def assert_outputs(table, expected, name="y"):
    """Every row has its output, which agrees with what `predict` returns."""
    assert table["error"].null_count == len(expected) == table.num_rows
    for row, (found, wanted) in enumerate(zip(table[name].to_pylist(), expected, strict=True)):
        np.testing.assert_allclose(np.array(found), wanted, atol=2e-6, err_msg=f"row {row}")


def errors_in(folder, key="id"):
    """The reason of each key that has one."""
    table = result_in(folder)
    pairs = zip(table[key].to_pylist(), table["error"].to_pylist(), strict=True)
    return {k: reason for k, reason in pairs if reason is not None}
