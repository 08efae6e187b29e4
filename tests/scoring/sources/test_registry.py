"""The same sequences in every format: equal outputs, in the order of the input."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rnn_deploy
from rnn_deploy.errors import InputError
from rnn_deploy.scoring.sources.registry import input_files
from tests.support.errors import raises
from tests.support.scoring import (
    assert_outputs,
    errors_in,
    keys_for,
    result_in,
    steps_of,
    write_csv,
    write_jsonl,
    write_lists,
    write_long,
    write_npz,
)

LONG = {"order": "t", "features": ["a", "b", "c"]}
SMALL = 400 / 2**20  # a shard size that cuts every file


def written(place, rows):
    """Write the sequences in the format of the ending; return the columns of a long table."""
    if place.name.startswith("long"):
        writer = write_csv if place.suffix == ".csv" else write_long
        writer(place, steps_of(rows))
        return LONG
    if place.suffix == ".npz":
        write_npz(place, rows, np.savez_compressed if "packed" in place.name else np.savez)
    else:
        {".parquet": write_lists, ".jsonl": write_jsonl}[place.suffix](place, rows)
    return {}


NAMES = ["a.parquet", "long.parquet", "long.csv", "a.jsonl", "a.npz", "packed.npz"]


@pytest.mark.parametrize("name", NAMES)
def test_every_format_is_read_in_shards_and_keeps_order_and_keys(
    bundle, rows, expected, engine, tmp_path, name
):
    columns = written(tmp_path / name, rows)
    result = rnn_deploy.score(
        bundle, tmp_path / name, tmp_path / "out", sequence="id", shard_size=SMALL, **columns
    )
    assert result.ok
    assert len(engine.ran) == result.shards > 2
    table = result_in(tmp_path / "out")
    assert table["id"].to_pylist() == keys_for(rows)
    assert_outputs(table, expected)


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.npz"])
def test_without_a_key_rows_are_numbered_through_all_files(
    bundle, rows, expected, engine, tmp_path, name
):
    folder = tmp_path / "in"
    folder.mkdir()
    for part, some in enumerate([rows[:15], rows[15:]]):
        written(folder / f"{part}-{name}", some)
    result = rnn_deploy.score(bundle, folder, tmp_path / "out", shard_size=SMALL)
    assert result.ok
    table = result_in(tmp_path / "out")
    assert table["row"].to_pylist() == list(range(len(rows)))
    assert_outputs(table, expected)


def test_an_npy_holds_sequences_of_one_length(bundle, engine, tmp_path, x):
    np.save(tmp_path / "x.npy", x)
    assert rnn_deploy.score(bundle, tmp_path / "x.npy", tmp_path / "out").ok
    with rnn_deploy.load(bundle, "ort-cpu") as model:
        assert_outputs(result_in(tmp_path / "out"), list(model.predict(x)))


def test_a_long_table_is_sorted_within_sequences(bundle, rows, expected, engine, tmp_path):
    steps = [step for row in rows for step in reversed(steps_of([row], ["?"]))]
    keys = [key for key, row in zip(keys_for(rows), rows, strict=True) for _ in row]
    write_long(tmp_path / "long.parquet", [(k, *s[1:]) for k, s in zip(keys, steps, strict=True)])
    out = tmp_path / "out"
    assert rnn_deploy.score(bundle, tmp_path / "long.parquet", out, sequence="id", **LONG).ok
    assert_outputs(result_in(out), expected)


def test_times_of_a_csv_may_be_dates(bundle, rows, expected, engine, tmp_path):
    dated = [(k, f"2024-05-{30 - t:02}", *v) for k, t, *v in steps_of([r[::-1] for r in rows])]
    write_csv(tmp_path / "long.csv", dated)
    out = tmp_path / "out"
    assert rnn_deploy.score(bundle, tmp_path / "long.csv", out, sequence="id", **LONG).ok
    assert_outputs(result_in(out), expected)


def test_tokens_are_lists_of_whole_numbers_or_one_column(tokens, engine, tmp_path):
    ids = [[1, 2, 3], [6], [0, 5, 9], [4, 4]]  # 9 is outside the vocabulary
    kind = pa.list_(pa.int64())
    keys = [7, 8, 9, 10]
    pq.write_table(pa.table({"id": keys, "ids": pa.array(ids, kind)}), tmp_path / "a.parquet")
    steps = [(k, i) for k, row in zip(keys, ids, strict=True) for i in row]
    pq.write_table(
        pa.table({"id": [k for k, _ in steps], "n": range(len(steps)), "w": [i for _, i in steps]}),
        tmp_path / "long.parquet",
    )
    found = []
    for name, columns in (("a", {}), ("long", {"order": "n", "features": ["w"]})):
        out = tmp_path / name
        result = rnn_deploy.score(
            tokens, tmp_path / f"{name}.parquet", out, sequence="id", **columns
        )
        assert (result.sequences, result.failed) == (4, 1)
        assert errors_in(out)[9].startswith("E-INPUT-VOCABULARY")
        found.append(result_in(out))
    assert found[0].equals(found[1])


def test_hidden_files_are_left_out_and_names_decide_the_order(tmp_path):
    for name in ("b.npz", "a.npz", "_run.npz", ".x.npz", "c.txt", "_temporary/d.npz", "e/f.npz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in input_files([tmp_path])]
    assert found == ["a.npz", "b.npz", "e/f.npz"]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("x.txt", b"1", "E-DATA-ENDING"),
        ("x.parquet", b"PAR1", "E-DATA-DAMAGED"),
        ("x.npz", b"PK", "E-DATA-DAMAGED"),
        ("x.npy", b"\x93NUMPY", "E-DATA-DAMAGED"),
        ("x.jsonl", b"", "E-DATA-EMPTY"),
        ("x.csv", b"id,t,a\n", "E-OPTION-NEEDS"),
        ("none", None, "E-DATA-NOT-FOUND"),
    ],
)
def test_unfit_files_are_refused(bundle, engine, tmp_path, name, content, code):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with raises(InputError, code, name):
        rnn_deploy.score(bundle, tmp_path / name, tmp_path / "out")
    assert engine.ran == []
