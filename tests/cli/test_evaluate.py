"""`rnn-deploy evaluate`: metrics of every runtime, whole and streamed, against labels and Keras."""

import json

import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.runtimes.fake import FakeRuntime
from rnn_deploy.verifying.evaluation import EvaluationData, evaluate


@pytest.fixture
def data(tmp_path, x):
    np.savez(tmp_path / "x.npz", x=x)
    return tmp_path / "x.npz"


def evaluations(ended):
    assert ended.code == 0, ended.err
    return json.loads(ended.out)["evaluations"]


def test_classes_are_counted_on_every_runtime_and_way(
    command, small_bundle, small_keras, tmp_path, x, data
):
    import keras

    y = keras.models.load_model(small_keras)(x).numpy()
    labels = y.argmax(-1)
    labels[0, 0] = 1 - labels[0, 0]
    np.save(tmp_path / "labels.npy", labels)
    words = ("evaluate", small_bundle, "--inputs", data, "--labels", tmp_path / "labels.npy")
    words += ("--runtime", "ort-cpu", "--runtime", "litert")
    found = evaluations(command(*words, "--model", small_keras, "--json"))
    assert [(e["runtime"], e["way"]) for e in found] == [
        ("keras", "whole"),
        *((runtime, way) for runtime in ("ort-cpu", "litert") for way in ("whole", "streamed")),
    ]
    for e in found:
        (metric,) = e["metrics"]
        assert metric["accuracy"] == pytest.approx(11 / 12)
        assert metric["agreement"] == 1
        assert metric["difference"] < 2e-6
    table = command(*words, "--chunk", 4)
    assert table.out.count("91.67%") == 4
    assert "ort-cpu, stream.onnx, streamed" in table.out


def test_a_model_in_parts_is_the_reference_and_its_options_need_it(
    command, small_bundle, small_keras, tmp_path, data
):
    import keras

    model = keras.models.load_model(small_keras)
    (tmp_path / "model.json").write_text(model.to_json())
    model.save_weights(tmp_path / "w.weights.h5")
    words = ("evaluate", small_bundle, "--inputs", data, "--runtime", "ort-cpu", "--json")
    parts = ("--model", tmp_path / "model.json", "--weights", tmp_path / "w.weights.h5")
    whole, first, *_ = evaluations(command(*words, *parts))
    assert (whole["runtime"], first["metrics"][0]["agreement"]) == ("keras", 1)
    ended = command(*words, "--weights", tmp_path / "w.weights.h5")
    assert (ended.code, "E-OPTION-NEEDS" in ended.err) == (2, True)


def test_numbers_have_errors(command, small_bundle, tmp_path, x, data):
    y = rnn_deploy.load(small_bundle).predict(x)
    np.savez(tmp_path / "y.npz", y=y.astype("d") + 0.5)
    words = ("--labels", tmp_path / "y.npz", "--runtime", "ort-cpu", "--json")
    for e in evaluations(command("evaluate", small_bundle, "--inputs", data, *words)):
        (metric,) = e["metrics"]
        assert metric["accuracy"] is None
        for name in ("mean_error", "root_mean_square", "largest_error"):
            assert metric[name] == pytest.approx(0.5, abs=1e-6)


def test_changed_predictions_are_listed(command, small_bundle, small_keras, tmp_path, data):
    import keras

    model = keras.models.load_model(small_keras)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel[:, ::-1], bias[::-1]])  # the classes change places
    other = rnn_deploy.export(model, tmp_path / "other", to="onnx", long=0)
    words = ("evaluate", small_bundle, "--also", other.root, "--inputs", data)
    words += ("--runtime", "ort-cpu")
    found = evaluations(command(*words, "--json"))
    assert [len(e["changed"]) for e in found] == [0, 0, 12, 12]
    assert found[2]["metrics"][0]["agreement"] == 0
    said = command(*words).out
    assert "sequence 0, step 0: y was" in said
    assert "2 more predictions changed" in said


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("l.npy", np.zeros((3, 6), int), ["3", "2 sequences"]),
        ("l.npy", np.zeros((2, 5), int), ["sequence 0", "'y'"]),
        ("l.txt", "a\nb\n", ["'a'"]),
        ("l.npz", {"z": np.zeros(2), "w": np.zeros(2)}, ["z, w", "y"]),
        ("l.json", "[]", [".npy"]),
        ("l.npy", "text", ["l.npy"]),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    command, small_bundle, tmp_path, data, name, content, words
):
    place = tmp_path / name
    if isinstance(content, str):
        place.write_text(content)
    else:
        np.savez(place, **content) if name.endswith("z") else np.save(place, content)
    options = ("--labels", place, "--runtime", "ort-cpu")
    ended = command("evaluate", small_bundle, "--inputs", data, *options)
    ended.refused(2, name if name == "l.json" else "E-DATA-", *words)


def test_a_runtime_that_fails_does_not_end_the_others(small_bundle, x):
    from rnn_deploy.bundle import open_bundle
    from rnn_deploy.errors import RuntimeAbortedError

    def aborts(entry, feeds):
        raise RuntimeAbortedError("E-RUNTIME-ABORTED", "it crashed")

    def zeros(entry, feeds):
        batch, time = feeds["x"].shape[:2]
        sizes = {"batch": batch, "time": time}
        return {
            t.name: np.zeros([sizes.get(d, d) for d in t.shape], "f") for t in entry.all_outputs
        }

    runtimes = [FakeRuntime(aborts, "bad"), FakeRuntime(zeros, "good")]
    found = [e for e, _ in evaluate(open_bundle(small_bundle), runtimes, EvaluationData({"x": x}))]
    assert [(e.runtime, e.failure is None) for e in found] == [
        ("bad", False), ("bad", False), ("good", True), ("good", True),
    ]  # fmt: skip
