"""A run from end to end: what is invalid, what is skipped, what is recorded."""

import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rnn_deploy
from rnn_deploy.errors import InputError, RuntimeUnavailableError
from rnn_deploy.scoring.record import NAME, RunRecord
from tests.support.errors import raises
from tests.support.models import randomised
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

SMALL = 400 / 2**20
LONG = {"sequence": "id", "order": "t", "features": ["a", "b", "c"]}


@pytest.fixture
def run(bundle, engine, tmp_path):
    """Score a file of the test's folder to `out`."""

    def call(name="in.parquet", out="out", **options):
        options = {"sequence": "id", "shard_size": SMALL} | options
        return rnn_deploy.score(bundle, tmp_path / name, tmp_path / out, **options)

    return call


def test_an_empty_sequence_and_one_with_nan_fail_by_key(run, rows, expected, tmp_path):
    wrong = [row.copy() for row in rows]
    wrong[3] = wrong[3][:0]
    wrong[7][-1, 1] = np.nan
    wrong[8][0, 0] = np.inf
    write_lists(tmp_path / "in.parquet", wrong)
    result = run()
    assert (result.failed, result.exit_code, result.complete) == (3, 2, True)
    errors = errors_in(tmp_path / "out")
    assert {k: e.partition(":")[0] for k, e in errors.items()} == {
        "k3": "E-INPUT-EMPTY",
        "k7": "E-SCORE-NAN",
        "k8": "E-SCORE-NAN",
    }
    table = result_in(tmp_path / "out")
    assert table["id"].to_pylist() == keys_for(rows)
    for row, value in enumerate(table["y"].to_pylist()):
        if row in (3, 7, 8):
            assert value is None
        else:
            np.testing.assert_allclose(value, expected[row], atol=2e-6)
    record = RunRecord.read(tmp_path / "out")
    assert record.failed == 3
    assert [f["key"] for f in record.failures] == ["k3", "k7", "k8"]


def test_missing_values_and_steps_of_other_widths_fail_by_key(run, rows, tmp_path):
    lists = [row.tolist() for row in rows]
    lists[1] = None
    lists[2][0][1] = None
    lists[4][0] = None
    lists[5][0] = [1.0]
    kind = pa.list_(pa.list_(pa.float64()))
    table = pa.table({"id": keys_for(rows), "x": pa.array(lists, kind)})
    pq.write_table(table, tmp_path / "in.parquet")
    assert run().failed == 4
    codes = {k: e.partition(":")[0] for k, e in errors_in(tmp_path / "out").items()}
    missing, ragged = "E-DATA-MISSING", "E-DATA-RAGGED"
    assert codes == {"k1": missing, "k2": missing, "k4": ragged, "k5": ragged}


@pytest.mark.parametrize("writer", [write_lists, write_npz, write_jsonl])
def test_a_key_that_occurs_twice_fails_in_every_shard(run, rows, tmp_path, writer):
    endings = {write_lists: "in.parquet", write_npz: "in.npz", write_jsonl: "in.jsonl"}
    folder = tmp_path / "in"
    folder.mkdir()
    writer(folder / f"a-{endings[writer]}", rows[:30])
    writer(folder / f"b-{endings[writer]}", rows[30:33])  # k0, k1, k2 again
    assert run("in").failed == 6
    errors = errors_in(tmp_path / "out")
    assert list(errors) == ["k0", "k1", "k2"]
    assert all(reason.startswith("E-SCORE-KEY") for reason in errors.values())


@pytest.mark.parametrize(("writer", "name"), [(write_long, "in.parquet"), (write_csv, "in.csv")])
def test_rows_of_a_sequence_that_are_apart_fail_by_key(run, rows, tmp_path, writer, name):
    steps = steps_of(rows)
    writer(tmp_path / name, [*steps[1:], steps[0]] if len(rows[0]) > 1 else [*steps, steps[0]])
    assert run(name, **LONG).failed == 2
    assert list(errors_in(tmp_path / "out")) == ["k0"]


def test_a_table_sorted_by_time_is_refused_with_advice(run, rows, tmp_path, monkeypatch):
    monkeypatch.setattr("rnn_deploy.scoring.plan.MOST_DUPLICATES", 5)
    write_long(tmp_path / "in.parquet", sorted(steps_of(rows), key=lambda step: step[1]))
    with raises(InputError, "E-SCORE-DUPLICATES", "--sequence"):
        run(**LONG)


def test_two_steps_at_one_time_fail_by_key(run, rows, tmp_path):
    steps = steps_of(rows)
    place = next(i for i, step in enumerate(steps) if step[1] == 1)
    steps[place] = (steps[place][0], 0, *steps[place][2:])
    write_long(tmp_path / "in.parquet", steps)
    run(**LONG)
    errors = errors_in(tmp_path / "out")
    assert list(errors) == [steps[place][0]]
    assert "E-DATA-TIME" in errors[steps[place][0]]


def test_cells_that_are_no_numbers_fail_by_key(run, rows, tmp_path):
    steps = steps_of(rows)
    wrong = [(*step[:3], "oops", step[4]) if i == 5 else step for i, step in enumerate(steps)]
    wrong[9] = (*wrong[9], "more")
    write_csv(tmp_path / "in.csv", wrong)
    assert run("in.csv", **LONG).complete
    errors = errors_in(tmp_path / "out")
    assert "E-DATA-TEXT" in errors.pop(steps[5][0])
    assert "E-DATA-RAGGED" in errors.pop(steps[9][0])
    assert not errors


def test_lines_that_are_no_json_or_lack_a_name_fail(run, rows, expected, tmp_path):
    lines = write_jsonl(tmp_path / "in.jsonl", rows).read_text().splitlines()
    lines[1] = lines[1][:-3]
    lines[2] = lines[2].replace('"x"', '"z"')
    lines[3] = '{"id": "k3", "x": [[1, 2], [3]]}'
    lines[4] = '{"id": "k4", "x": [["a", "b", "c"]]}'
    lines[5] = '{"id": "k5", "x": 1}'
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    assert run("in.jsonl").failed == 5
    errors = errors_in(tmp_path / "out")
    assert list(errors) == [None, "k2", "k3", "k4", "k5"]
    table = result_in(tmp_path / "out")
    np.testing.assert_allclose(table["y"][6].as_py(), expected[6], atol=2e-6)


@pytest.mark.parametrize(
    ("columns", "options", "code", "word"),
    [
        ({"id": ["a"], "z": [[[1.0, 2, 3]]]}, {}, "E-DATA-COLUMN", "'x'"),
        ({"x": [[[1.0, 2, 3]]]}, {}, "E-DATA-COLUMN", "'id'"),
        ({"id": ["a"], "x": [[["1", "2", "3"]]]}, {}, "E-DATA-TYPE", "'x'"),
        ({"id": ["a"], "x": [[1.0, 2, 3]]}, {}, "E-DATA-TYPE", "'x'"),
        ({"id": [1.5], "x": [[[1.0, 2, 3]]]}, {}, "E-DATA-TYPE", "'id'"),
        ({"id": ["a"], "t": [1], "a": [1.0], "b": [1.0]}, LONG, "E-DATA-COLUMN", "'c'"),
        ({"id": ["a"], "t": [1], "a": [1.0], "b": [1.0], "c": ["x"]}, LONG, "E-DATA-TYPE", "'c'"),
        ({"id": ["a"], "a": [1.0]}, {"features": ["a"]}, "E-DATA-FEATURES", "3 features"),
        ({"y": ["a"], "x": [[[1.0, 2, 3]]]}, {"sequence": "y"}, "E-SCORE-NAMES", "'y'"),
        ({"id": pa.array([], pa.int64())}, {}, "E-DATA-COLUMN", "'x'"),
    ],
)
def test_tables_that_do_not_fit_are_refused_before_anything_runs(
    run, engine, tmp_path, columns, options, code, word
):
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    with raises(InputError, code, word):
        run(**options)
    assert engine.ran == []


def test_a_rerun_scores_only_what_is_missing_and_writes_equal_bytes(run, rows, engine, tmp_path):
    write_lists(tmp_path / "in.parquet", rows)
    first = run()
    parts = sorted((tmp_path / "out").glob("part-*"))
    before = {path.name: path.read_bytes() for path in parts}
    parts[1].unlink()
    parts[2].write_bytes(before[parts[2].name][:-50])  # a file that was cut
    (tmp_path / "out" / ".part-00001.parquet.abc.unfinished").write_bytes(b"x")
    engine.ran.clear()
    again = run()
    assert engine.ran == [1, 2]
    assert again.skipped == first.shards - 2
    assert {path.name: path.read_bytes() for path in parts} == before
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted([NAME, *before])


def test_inputs_that_changed_are_refused_and_forced(run, rows, expected, engine, tmp_path):
    write_lists(tmp_path / "in.parquet", rows)
    run()
    write_lists(tmp_path / "in.parquet", rows[:25])
    with raises(InputError, "E-SCORE-CHANGED", "in.parquet", "--force"):
        run()
    result = run(force=True)
    assert (result.sequences, result.skipped) == (25, 0)
    assert_outputs(result_in(tmp_path / "out"), expected[:25])


def test_a_shard_that_changes_while_it_is_scored_fails(run, rows, engine, tmp_path, monkeypatch):
    place = write_lists(tmp_path / "in.parquet", rows)
    usual = engine.run

    def change(*words):
        os.utime(place, ns=(1, 1))
        yield from usual(*words)

    monkeypatch.setattr(engine, "run", change)
    result = run()
    assert (result.complete, result.exit_code, result.scored) == (False, 2, 0)
    assert {fault.code for fault in result.failed_shards.values()} == {"E-SCORE-CHANGED"}
    assert not RunRecord.read(tmp_path / "out").complete


def test_an_output_of_another_bundle_or_of_other_options_is_refused(run, rows, tokens, tmp_path):
    write_lists(tmp_path / "in.parquet", rows)
    run()
    with raises(InputError, "E-SCORE-OTHER-SETTINGS", "batch_size"):
        run(batch_size=3)
    with raises(InputError, "E-SCORE-OTHER-SETTINGS", "sequence", "none"):
        run(sequence=None)
    with raises(InputError, "E-SCORE-OTHER-SETTINGS", "shards"):
        run(shard_size=32)
    pq.write_table(pa.table({"id": ["a"], "ids": [[1]]}), tmp_path / "ids.parquet")
    with raises(InputError, "E-SCORE-OTHER-BUNDLE", "--force"):
        rnn_deploy.score(tokens, tmp_path / "ids.parquet", tmp_path / "out", sequence="id")


def test_a_run_that_cannot_start_leaves_the_folder_free(run, rows, engine, tmp_path, monkeypatch):
    write_lists(tmp_path / "in.parquet", rows)
    with raises(InputError, "E-DATA-COLUMN", "nobody"):
        run(sequence="nobody")
    assert not (tmp_path / "out").exists()

    def unreachable(*words):
        raise RuntimeUnavailableError("E-SCORE-CLUSTER", "nothing answers")
        yield

    with monkeypatch.context() as patched:
        patched.setattr(engine, "run", unreachable)
        with raises(RuntimeUnavailableError, "E-SCORE-CLUSTER"):
            run()
    write_lists(tmp_path / "in.parquet", rows[:20])
    assert run(batch_size=7).ok


def test_a_folder_with_other_files_is_never_written_to(run, rows, tmp_path):
    write_lists(tmp_path / "in.parquet", rows)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    with raises(InputError, "E-OPTION-NOT-REPLACED", "out"):
        run(force=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_a_damaged_record_is_refused(run, rows, tmp_path):
    write_lists(tmp_path / "in.parquet", rows)
    run()
    (tmp_path / "out" / NAME).write_text("{")
    with raises(InputError, "E-SCORE-NO-RUN", NAME):
        run()


def test_two_runs_never_write_to_one_folder(run, rows, engine, tmp_path, monkeypatch):
    write_lists(tmp_path / "in.parquet", rows)
    usual = engine.run

    def second(*words):
        with raises(InputError, "E-SCORE-BUSY", "out"):
            run()
        yield from usual(*words)

    monkeypatch.setattr(engine, "run", second)
    assert run().ok


@pytest.mark.parametrize("option", ["batch_size", "threads", "workers", "shard_size"])
def test_numbers_below_one_are_refused(run, rows, tmp_path, option):
    write_lists(tmp_path / "in.parquet", rows)
    with raises(InputError, "E-OPTION-NUMBER"):
        run(**{option: 0})


def test_an_unknown_engine_and_a_local_address_are_refused(run, rows, tmp_path):
    write_lists(tmp_path / "in.parquet", rows)
    with raises(InputError, "E-SCORE-ENGINE", "dask"):
        run(engine="spark")
    with raises(InputError, "E-OPTION-NEEDS", "--address"):
        run(address="localhost:1")


def test_the_record_names_bundle_versions_inputs_and_counts(run, rows, bundle, tmp_path):
    write_lists(tmp_path / "in.parquet", rows)
    run()
    facts = json.loads((tmp_path / "out" / NAME).read_text())
    opened = rnn_deploy.load(bundle).bundle
    assert facts["digest"] == opened.digest
    assert facts["versions"]["pyarrow"] == pa.__version__
    assert [entry["path"] for entry in facts["inputs"]] == [str(tmp_path / "in.parquet")]
    assert (facts["sequences"], facts["failed"], facts["complete"]) == (len(rows), 0, True)


def test_a_bundle_that_is_replaced_meanwhile_fails_the_shards(
    run, rows, bundle, engine, tmp_path, monkeypatch
):
    write_lists(tmp_path / "in.parquet", rows)
    own = shutil.copytree(bundle, tmp_path / "own")
    usual = engine.run

    def replace(*words):
        manifest = own / "manifest.json"
        manifest.write_text(manifest.read_text() + " ")
        yield from usual(*words)

    monkeypatch.setattr(engine, "run", replace)
    result = rnn_deploy.score(own, tmp_path / "in.parquet", tmp_path / "out", sequence="id")
    assert {fault.code for fault in result.failed_shards.values()} == {"E-BUNDLE-REPLACED"}


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """A bundle of a model that masks and takes 8 steps."""
    import keras

    x = inputs = keras.Input((8, 3), name="x")
    x = keras.layers.SimpleRNN(4, name="rnn")(keras.layers.Masking(0.0)(x))
    model = randomised(keras.Model(inputs, keras.layers.Dense(6, name="y")(x), name="fixed"))
    place = tmp_path_factory.mktemp("b") / "fixed"
    return rnn_deploy.export(model, place, to="onnx", long=0, labels=list("abcdef"))


def test_a_model_of_fixed_steps_that_masks_takes_shorter_sequences(fixed, rows, engine, tmp_path):
    longer = [*rows[:-1], np.ones((9, 3), np.float32)]
    write_lists(tmp_path / "in.parquet", longer)
    rnn_deploy.score(fixed, tmp_path / "in.parquet", tmp_path / "out", sequence="id")
    assert list(errors_in(tmp_path / "out")) == ["k39"]
    filled = np.stack([np.pad(row, ((0, 8 - len(row)), (0, 0))) for row in rows[:-1]])
    wanted = rnn_deploy.load(fixed, "ort-cpu").predict(filled)
    table = result_in(tmp_path / "out")
    np.testing.assert_allclose(np.array(table["y"].to_pylist()[:-1]), wanted, atol=1e-6)
    names = np.array(list("abcdef"))[wanted.argmax(axis=-1)]
    assert table["y_label"].to_pylist() == [*names, None]
    assert len(set(names)) > 1


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """A bundle of a model that takes text."""
    import keras

    words = keras.layers.TextVectorization(max_tokens=20)
    words.adapt(["a b c d e f g"])
    inputs = keras.Input((), dtype="string", name="text")
    x = keras.layers.Embedding(20, 4, mask_zero=True)(words(inputs))
    outputs = keras.layers.Dense(2, name="y")(keras.layers.SimpleRNN(5, name="rnn")(x))
    model = keras.Model(inputs, outputs, name="texts")
    return rnn_deploy.export(model, tmp_path_factory.mktemp("b") / "texts", to="onnx", long=0)


@pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
def test_texts_are_scored_and_empty_ones_fail_by_key(texts, engine, tmp_path, ending):
    given = ["a b", "c", " ", "d e f a b", None, "a zz g"]
    place = tmp_path / f"in{ending}"
    if ending == ".parquet":
        pq.write_table(pa.table({"id": range(6), "text": given}), place)
    else:
        lines = [json.dumps({"id": i, "text": text}) for i, text in enumerate(given)]
        place.write_text("\n".join(lines))
    assert rnn_deploy.score(texts, place, tmp_path / "out", sequence="id").failed == 2
    assert list(errors_in(tmp_path / "out")) == [2, 4]
    good = [text for text in given if text and text.strip()]
    wanted = rnn_deploy.load(texts, "ort-cpu").predict(good)
    found = [value for value in result_in(tmp_path / "out")["y"].to_pylist() if value]
    np.testing.assert_allclose(found, wanted, atol=1e-6)
