"""`rnn-deploy run` on tables, sequences of several lengths, and windows."""

import csv
import json

import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.cli.results import KEYS, LENGTHS, WINDOWS
from tests.support.models import randomised


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """A model with a fixed batch of one and five steps, and its bundle."""
    import keras

    x = keras.Input(batch_shape=(1, 5, 3), name="x")
    y = keras.layers.GRU(4, name="rnn")(x)
    model = randomised(keras.Model(x, keras.layers.Dense(2, name="y")(y)))
    place = tmp_path_factory.mktemp("fixed") / "b"
    return model, rnn_deploy.export(model, place, to="onnx", long=0)


LENGTHS_OF = {"pump": 4, "fan": 6, "belt": 4}


@pytest.fixture
def table(tmp_path):
    """A long table of three machines, its lines mixed; and the sequences in it by key."""
    rng = np.random.default_rng(3)
    rows = {k: rng.standard_normal((n, 3)).astype("f") for k, n in LENGTHS_OF.items()}
    lines = [(k, t, *map(float, row)) for k, xs in rows.items() for t, row in enumerate(xs)]
    place = tmp_path / "long.csv"
    with place.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["machine", "t", "load", "temp", "hum"])
        for line in rng.permutation(np.array(lines, object)):
            key, t, temp, hum, load = line
            writer.writerow([key, t, load, temp, hum])
    return place, rows


COLUMNS = ("--id", "machine", "--time", "t", "--features", "temp,hum,load")


def test_a_long_table_is_run_by_key_and_what_was_read_is_reported(
    command, small_bundle, tmp_path, table
):
    place, rows = table
    model = rnn_deploy.load(small_bundle)
    ended = command("run", small_bundle, "--inputs", place, *COLUMNS)
    assert ended.code == 0
    assert "read 3 sequences, 4 to 6 steps, 3 features (temp, hum, load)" in ended.err
    found = [json.loads(line) for line in ended.out.splitlines()]
    assert {line["id"] for line in found} == set(rows)
    for line in found:
        expected = model.predict(rows[line["id"]][None])[0]
        np.testing.assert_allclose(line["y"], expected, rtol=0, atol=1e-6)
    words = ("run", small_bundle, "--inputs", place, *COLUMNS, "-o")
    assert command(*words, tmp_path / "y.csv").code == 0
    with (tmp_path / "y.csv").open() as file:
        header, *lines = csv.reader(file)
    assert header == ["id", "step", "y_0", "y_1"]
    for key, step, *values in lines:
        expected = model.predict(rows[key][None])[0, int(step)]
        np.testing.assert_allclose(np.array(values, "f"), expected, rtol=0, atol=1e-6)
    assert command(*words, tmp_path / "y.npz").code == 0
    with np.load(tmp_path / "y.npz") as file:
        for key, length, y in zip(file[KEYS], file[LENGTHS], file["y"], strict=True):
            assert length == len(rows[key])
            assert np.isnan(y[length:]).all()
            np.testing.assert_allclose(y[:length], model.predict(rows[key][None])[0], atol=1e-6)
    command(*words, tmp_path / "y.npy").refused(2, "E-DATA-ONE-ARRAY", ".npz")


def test_a_long_table_is_not_one_sequence_by_accident(command, small_bundle, table):
    words = ("run", small_bundle, "--inputs", table[0])
    command(*words).refused(2, "E-DATA-FEATURES", "5 columns", "--id", "--features")
    ended = command(*words, "--features", "temp,hum,load")
    assert "read 1 sequence, 14 steps, 3 features (temp, hum, load)" in ended.err


def test_states_follow_the_keys_from_call_to_call(command, small_bundle, tmp_path, table):
    _, rows = table
    state = tmp_path / "s.npz"

    def part(name, keys, cut):
        lines = ["machine,temp,hum,load"]
        lines += [f"{k},{','.join(map(repr, map(float, x)))}" for k in keys for x in rows[k][cut]]
        place = tmp_path / name
        place.write_text("\n".join(lines))
        return ("run", small_bundle, "--inputs", place, "--id", "machine", "--state-out", state)

    assert command(*part("a.csv", ("pump", "fan"), slice(2))).code == 0
    ended = command(
        *part("b.csv", ("belt", "fan"), slice(2, None)), "--state-in", state
    )  # the file is replaced by its successor
    assert ended.code == 0
    assert "belt" in ended.err
    found = {line["id"]: line["y"] for line in map(json.loads, ended.out.splitlines())}
    model = rnn_deploy.load(small_bundle)
    whole = model.predict(rows["fan"][None])[0]
    np.testing.assert_allclose(found["fan"], whole[2:], rtol=0, atol=1e-6)
    ended = command(*part("c.csv", ("pump",), slice(2, None)), "--state-in", state)
    found = json.loads(ended.out)["y"]  # pump was not run in between
    np.testing.assert_allclose(found, model.predict(rows["pump"][None])[0, 2:], rtol=0, atol=1e-6)


def test_windows_name_their_origin(command, small_bundle, tmp_path, x):
    np.save(tmp_path / "x.npy", x)
    words = ("run", small_bundle, "--inputs", tmp_path / "x.npy", "--window", 4, "--step", 2)
    ended = command(*words)
    assert "4 windows of 4 steps" in ended.err
    model = rnn_deploy.load(small_bundle)
    for line in map(json.loads, ended.out.splitlines()):
        window = x[line["sequence"], line["first_step"] :][:4]
        np.testing.assert_allclose(line["y"], model.predict(window[None])[0], rtol=0, atol=1e-6)
    assert command(*words, "-o", tmp_path / "y.npz").code == 0
    with np.load(tmp_path / "y.npz") as file:
        assert file[WINDOWS].tolist() == [[0, 0], [0, 2], [1, 0], [1, 2]]
    assert "4 steps at the ends" in command(*words[:-2], "--step", 3).err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--step", 2], "E-OPTION-NEEDS"),
        (["--window", 2, "--pad", "pre"], "E-OPTION-CONFLICT"),
        (["--window", 2, "--chunk", 1], "E-OPTION-CONFLICT"),
        (["--id", "a"], "E-OPTION-CONFLICT"),
        (["--pad", "pre"], "E-INPUT-PAD"),
    ],
)
def test_options_that_do_not_fit_are_refused(run, words, code):
    run(*words).refused(2, code)


def test_lines_of_json_may_have_several_lengths(command, small_bundle, tmp_path, x):
    place = tmp_path / "x.jsonl"
    place.write_text("\n".join(json.dumps(row.tolist()) for row in (x[0], x[1, :2])))
    ended = command("run", small_bundle, "--inputs", place, "--chunk", 3)
    assert "read 2 sequences, 2 to 6 steps, 3 features" in ended.err
    model = rnn_deploy.load(small_bundle)
    for line, row in zip(ended.out.splitlines(), (x[0], x[1, :2]), strict=True):
        expected = model.predict(row[None])[0]
        np.testing.assert_allclose(json.loads(line), expected, rtol=0, atol=1e-6)


def test_a_fixed_batch_and_length_take_what_people_have(command, fixed, tmp_path):
    model, bundle = fixed
    assert any("exactly 5 steps" in n and "--time open" in n for n in bundle.manifest.notes)
    rng = np.random.default_rng(0)
    clips = rng.standard_normal((7, 5, 3)).astype("f")
    expected = np.concatenate([model(clip[None]).numpy() for clip in clips])
    np.testing.assert_allclose(rnn_deploy.load(bundle).predict(clips), expected, atol=1e-6)
    np.save(tmp_path / "x.npy", clips)
    ended = command("run", bundle.root, "--inputs", tmp_path / "x.npy")
    found = [json.loads(line) for line in ended.out.splitlines()]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    words = ("compare", bundle.root, bundle.root / "sequence.onnx")
    assert command(*words, "--inputs", tmp_path / "x.npy").code == 0
    short = clips[0, :3]
    (tmp_path / "x.jsonl").write_text(json.dumps(short.tolist()))
    words = ("run", bundle.root, "--inputs", tmp_path / "x.jsonl")
    command(*words).refused(2, "E-INPUT-SHAPE", "'x'")
    ended = command(*words, "--pad", "pre")
    padded = np.concatenate([np.zeros((2, 3), "f"), short])
    np.testing.assert_allclose(json.loads(ended.out), model(padded[None]).numpy()[0], atol=1e-6)
    assert "does not mask" in ended.err
