"""A stream that is scored in two runs ends where one run over all steps ends."""

import numpy as np
import pyarrow.parquet as pq
import pytest

import rnn_deploy
from rnn_deploy.errors import InputError
from rnn_deploy.scoring.record import RunRecord
from rnn_deploy.scoring.states import PreviousStates
from rnn_deploy.spec import STREAM
from tests.support.errors import raises
from tests.support.scoring import errors_in, keys_for, result_in, sequences, write_lists

SMALL = 1e-4


@pytest.fixture
def days(tmp_path, rows):
    """Two days of the same keys, in another order on the second, and all steps together."""
    later = sequences(len(rows), seed=1)
    keys = keys_for(rows)
    turned = [*range(20, 40), *range(20)]
    write_lists(tmp_path / "one.parquet", rows)
    write_lists(tmp_path / "two.parquet", [later[i] for i in turned], [keys[i] for i in turned])
    both = [np.concatenate(pair) for pair in zip(rows, later, strict=True)]
    write_lists(tmp_path / "both.parquet", both)
    return later


@pytest.fixture
def run(bundle, engine, tmp_path):
    def call(day, after=None, **options):
        options = {"states": True, "sequence": "id", "shard_size": SMALL} | options
        state_in = None if after is None else tmp_path / after
        place = tmp_path / f"{day}.parquet"
        return rnn_deploy.score(bundle, place, tmp_path / day, state_in=state_in, **options)

    return call


def columns_of(folder):
    table = result_in(folder)
    return {
        key: {name: np.array(table[name][row].as_py()) for name in table.column_names[1:-1]}
        for row, key in enumerate(table["id"].to_pylist())
    }


def test_the_second_day_continues_from_the_first_by_key(run, days, rows, tmp_path):
    for day, after in (("both", None), ("one", None), ("two", "one")):
        assert run(day, after).ok
    whole, second = columns_of(tmp_path / "both"), columns_of(tmp_path / "two")
    assert any(name.startswith("state:") for name in whole["k0"])
    for index, key in enumerate(keys_for(rows)):
        for name, value in second[key].items():
            wanted = whole[key][name]
            wanted = wanted if name.startswith("state:") else wanted[-len(days[index]) :]
            np.testing.assert_allclose(value, wanted, atol=2e-6, err_msg=f"{key} {name}")


def test_new_keys_start_from_zero_and_absent_keys_keep_their_state(run, days, rows, tmp_path):
    run("one")
    write_lists(tmp_path / "two.parquet", [rows[0], rows[1]], ["new", "k7"])
    assert run("two", "one").ok
    record = RunRecord.read(tmp_path / "two")
    assert record.carried_states == len(rows) - 1
    write_lists(tmp_path / "three.parquet", [rows[5]], ["k3"])
    assert run("three", "two").ok
    write_lists(tmp_path / "direct.parquet", [rows[5]], ["k3"])
    assert run("direct", "one").ok
    three, direct = (columns_of(tmp_path / name)["k3"] for name in ("three", "direct"))
    for name, value in three.items():
        np.testing.assert_array_equal(value, direct[name])
    alone = columns_of(tmp_path / "two")["new"]["y"]
    np.testing.assert_allclose(alone, columns_of(tmp_path / "one")["k0"]["y"], atol=2e-6)


def test_a_key_that_failed_before_fails_until_that_day_is_repeated(run, days, rows, tmp_path):
    wrong = [row.copy() for row in rows]
    wrong[2][0] = np.nan
    write_lists(tmp_path / "one.parquet", wrong)
    assert run("one").failed == 1
    assert run("two", "one").failed == 1
    assert errors_in(tmp_path / "two")["k2"].startswith("E-SCORE-NO-STATE")
    write_lists(tmp_path / "one.parquet", rows)
    assert run("one", force=True).ok
    with raises(InputError, "E-SCORE-OTHER-SETTINGS", "state_run"):
        run("two", "one")
    assert run("two", "one", force=True).ok


def test_states_are_searched_in_the_likely_part_first(run, days, bundle, tmp_path, monkeypatch):
    run("one")
    previous = PreviousStates(
        tmp_path / "one", rnn_deploy.load(bundle).bundle.manifest.entry(STREAM)
    )
    read = []
    usual = PreviousStates._fill
    monkeypatch.setattr(
        PreviousStates,
        "_fill",
        lambda self, path, *w: (read.append(path.name), usual(self, path, *w)),
    )
    keys = pq.read_table(tmp_path / "one" / "part-00002.parquet")["id"].combine_chunks()
    previous.initial(keys, 2)
    assert read == ["part-00002.parquet"]


def test_unfit_previous_runs_are_refused(run, days, tokens, rows, tmp_path):
    with raises(InputError, "E-OPTION-CONFLICT", "--state-in"):
        run("two", "two")
    with raises(InputError, "E-SCORE-NO-RUN", "nowhere"):
        run("two", "nowhere")
    run("one", states=False)
    with raises(InputError, "E-SCORE-NO-STATES", "--states"):
        run("two", "one")
    run("one", force=True)
    record = RunRecord.read(tmp_path / "one")
    record.ended(complete=False).write(tmp_path / "one")
    with raises(InputError, "E-SCORE-INCOMPLETE", "one"):
        run("two", "one")
    record.ended(weights="0" * 64).write(tmp_path / "one")
    with raises(InputError, "E-STATE-OTHER-BUNDLE", "0" * 12):
        run("two", "one")
    record.ended(key="customer").write(tmp_path / "one")
    with raises(InputError, "E-STATE-KEYS", "customer"):
        run("two", "one")
    with raises(InputError, "E-OPTION-NEEDS", "--sequence"):
        run("both", sequence=None)
