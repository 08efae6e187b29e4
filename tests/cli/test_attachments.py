"""`export` reads labels, vocabulary and scaler from files; `run` applies them and prints labels."""

import json

import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.cli.attachments import read_attachments
from rnn_deploy.errors import InputError
from rnn_deploy.inference.labels import top_labels
from tests.support.errors import raises
from tests.support.models import token_model


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A bundle of the token model with labels and a vocabulary, exported by the command."""
    from rnn_deploy.cli import main

    folder = tmp_path_factory.mktemp("labelled")
    token_model().save(folder / "m.keras")
    (folder / "labels.txt").write_text("bad\ngood\n")
    (folder / "words.txt").write_text("the\nfilm\nwas\nfine\n")
    words = ("export", folder / "m.keras", "-o", folder / "b", "--to", "onnx", "--long", 0)
    words += ("--labels", folder / "labels.txt", "--vocabulary", folder / "words.txt")
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    assert left.value.code in (0, None)
    return folder / "b"


@pytest.mark.parametrize("ending", [".txt", ".jsonl", ".csv"])
def test_run_takes_text_and_prints_labels(command, labelled, tmp_path, ending):
    texts = ["The film, was fine!", "was it?"]
    place = tmp_path / f"t{ending}"
    content = {
        ".txt": "\n".join(texts),
        ".jsonl": "\n".join(map(json.dumps, texts)),
        ".csv": "id,words\n" + "".join(f'{i},"{text}"\n' for i, text in enumerate(texts)),
    }
    place.write_text(content[ending])
    named = ("--id", "id") if ending == ".csv" else ()
    ended = command("run", labelled, "--inputs", place, *named)
    assert ended.code == 0, ended.err
    assert "read 2 texts" in ended.err
    model = rnn_deploy.load(labelled)
    for line, ids in zip(ended.out.splitlines(), ([2, 3, 4, 5], [4, 1]), strict=True):
        found = json.loads(line)
        y = model.predict([ids])[0]
        np.testing.assert_allclose(found["y"], y, rtol=0, atol=1e-6)
        best = int(y.argmax())
        assert [label["label"] for label in found["y_labels"]] == ["bad", "good"][:: 1 - 2 * best]
        assert found["y_labels"][0]["value"] == pytest.approx(float(y.max()))
    plain = command("run", labelled, "--inputs", place, *named, "--top", 0)
    assert "labels" not in plain.out
    assert command("run", labelled, "--inputs", place, *named, "-o", tmp_path / "y.npz").code == 0
    with np.load(tmp_path / "y.npz") as file:
        assert file["y"].shape == (2, 2)


def test_top_needs_labels(run):
    run("--top", 1).refused(2, "E-OPTION-NEEDS", "--labels")


def test_columns_are_matched_with_the_features_of_the_bundle(command, small_keras, tmp_path, x):
    bundle = rnn_deploy.export(
        small_keras, tmp_path / "b", to="onnx", long=0, features=["temp", "hum", "load"],
        scaler={"mean": [1, 2, 3], "scale": [4, 5, 6]},
    )  # fmt: skip
    raw = x[0].astype(np.float64) * [4, 5, 6] + [1, 2, 3]
    lines = [f"{load!r},{temp!r},{hum!r}" for temp, hum, load in raw.tolist()]
    (tmp_path / "x.csv").write_text("\n".join(["load,temp,hum", *lines]))
    ended = command("run", bundle.root, "--inputs", tmp_path / "x.csv")
    assert "3 features (temp, hum, load)" in ended.err
    unscaled = rnn_deploy.export(small_keras, tmp_path / "u", to="onnx", long=0)
    expected = rnn_deploy.load(unscaled).predict(x[:1])
    np.testing.assert_allclose(json.loads(ended.out), expected[0], rtol=0, atol=1e-5)
    chunked = command("run", bundle.root, "--inputs", tmp_path / "x.csv", "--chunk", 2)
    np.testing.assert_allclose(json.loads(chunked.out), expected[0], rtol=0, atol=1e-5)
    model = rnn_deploy.load(bundle)
    many = model.stream_batch()
    key = many.join()
    y = many.step({key: raw[None].astype("f")})[key]
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)
    (tmp_path / "x.csv").write_text("load,temp,wind\n1,2,3\n")
    ended = command("run", bundle.root, "--inputs", tmp_path / "x.csv")
    ended.refused(2, "E-DATA-COLUMN", "'hum'", "load, temp, wind")


def test_labels_of_rows_steps_and_probabilities():
    y = np.array([[0.2, 0.5, 0.3]], "f")
    assert [x["label"] for x in top_labels(y[0], "abc", 2)] == ["b", "c"]
    assert [[x["label"] for x in step] for step in top_labels(y, "abc", 1)] == [["b"]]
    assert top_labels(np.array([0.25]), ["no", "yes"], 1) == [{"label": "no", "value": 0.75}]


@pytest.mark.parametrize(
    ("name", "content", "option"),
    [
        ("s.pkl", b"", "scaler"),
        ("s.txt", b"", "scaler"),
        ("s.json", b"{", "scaler"),
        ("s.npz", b"text", "scaler"),
        ("v.json", b"\xff", "vocabulary"),
        ("l.json", b"{}", "labels"),
    ],
)
def test_a_file_that_holds_something_else_is_named(tmp_path, name, content, option):
    place = tmp_path / name
    place.write_bytes(content)
    given = {"labels": (), "features": (), "vocabulary": None, "scaler": None}
    given[option] = (str(place),) if option == "labels" else place
    with raises(InputError, "E-EXPORT-ATTACHMENT", name):
        read_attachments(**given)
