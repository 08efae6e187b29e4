"""The command `score`: what it prints and how it exits."""

import json

import numpy as np
import pytest

from rnn_deploy.scoring.engines import registry
from tests.support.scoring import InProcess, keys_for, result_in, sequences, write_lists


@pytest.fixture
def score(command, _small_bundle, tmp_path, monkeypatch):
    monkeypatch.setitem(registry.ENGINES, "local", InProcess())
    rows = sequences()
    rows[5][0] = np.nan
    write_lists(tmp_path / "in.parquet", rows)

    def call(*words):
        given = ["--input", tmp_path / "in.parquet", "--output", tmp_path / "out"]
        return command("score", _small_bundle, *given, "--sequence", "id", *words)

    return call


def test_a_failed_sequence_is_one_line_and_exit_code_2(score, tmp_path):
    ended = score("--json")
    assert ended.code == 2
    facts = json.loads(ended.out)
    assert (facts["sequences"], facts["failed"], facts["shards"]) == (40, 1, 1)
    (line,) = (line for line in ended.err.splitlines() if "k5" in line)
    assert "E-SCORE-NAN" in line
    assert "39 of 40" in ended.err
    assert result_in(tmp_path / "out")["id"].to_pylist() == keys_for(range(40))


def test_an_unfit_input_is_one_line(score, tmp_path):
    score("--input", tmp_path / "none.parquet").refused(2, "none.parquet", "E-DATA-NOT-FOUND")
    score("--batch-size", "0").refused(2, "--batch-size", "E-OPTION-NUMBER")
