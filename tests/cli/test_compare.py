"""`rnn-deploy compare`: any two models on the same inputs."""

import json

import numpy as np
import onnx
import pytest

from rnn_deploy.bundle import cases_of, open_bundle
from rnn_deploy.verifying.judge.compare import TensorPair
from rnn_deploy.verifying.pairing import _statistics


@pytest.fixture
def inputs(tmp_path, x):
    np.savez(tmp_path / "x.npz", x=x)
    return tmp_path / "x.npz"


def renamed(place, to, names):
    """An ONNX file with other names for its inputs and outputs."""
    model = onnx.load(place)
    for node in model.graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(name, name) for name in values]
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)
    onnx.save(model, to)
    return to


def spoiled(place, to):
    """An ONNX file with one wrong weight."""
    model = onnx.load(place)
    value = next(i for i in model.graph.initializer if len(i.dims) > 1)
    array = onnx.numpy_helper.to_array(value).copy()
    array.flat[1] += 0.25
    value.CopyFrom(onnx.numpy_helper.from_array(array, value.name))
    onnx.save(model, to)
    return to


def test_a_file_a_file_of_another_format_and_a_bundle_are_the_same(small_bundle, inputs, command):
    onnx_file, tflite = small_bundle / "sequence.onnx", small_bundle / "model.tflite"
    for pair in ((onnx_file, tflite), (tflite, small_bundle), (small_bundle, onnx_file)):
        ended = command("compare", *pair, "--inputs", inputs)
        assert ended.code == 0, ended.err
        assert ended.out.strip().endswith("equal: 1 outputs, all within their budgets")


def test_a_bundle_beside_itself_on_another_runtime(small_bundle, inputs, command):
    words = ("compare", small_bundle, small_bundle, "--inputs", inputs, "--entry", "stream")
    ended = command(*words, "--runtime", "ort-cpu", "--second-runtime", "litert", "--json")
    found = json.loads(ended.out)
    assert ended.code == 0
    assert {c["name"] for c in found["comparisons"]} == {"y", "first_h_out", "second_h_out"}


def test_models_that_are_apart_end_with_1_and_a_tolerance_is_heeded(
    small_bundle, inputs, tmp_path, command
):
    other = spoiled(small_bundle / "sequence.onnx", tmp_path / "other.onnx")
    words = ("compare", small_bundle / "sequence.onnx", other, "--inputs", inputs)
    ended = command(*words)
    assert ended.code == 1
    assert "E-VERIFY-FAILED" in ended.err
    assert "1 of 1 outputs" in ended.err
    assert "FAILED" in ended.out
    assert command(*words, "--atol", "y=10").code == 0
    command(*words, "--atol", "y=-1").refused(2, "E-VERIFY-TOLERANCE", "--atol y=-1")
    command(*words, "--rtol", "z=1").refused(2, "E-VERIFY-UNKNOWN-TENSOR", "z")


def test_a_keras_model_is_the_first_and_the_golden_vectors_are_the_default(
    small_bundle, small_keras, tmp_path, command
):
    page = tmp_path / "c.html"
    ended = command("compare", small_keras, small_bundle, "--json", "--html", page)
    found = json.loads(ended.out)
    assert (ended.code, found["passed"]) == (0, True)
    assert found["runtimes"] == ["Keras", "ort-cpu"]
    (comparison,), (statistics,) = found["comparisons"], found["statistics"]
    cases = [case for case in cases_of(open_bundle(small_bundle)) if "sequence" in case.entries]
    assert comparison["case"] in {case.name for case in cases}
    assert statistics["values"] == sum(case.truth["y"].size for case in cases)
    assert statistics["agreement"] == 1.0
    assert 0 < statistics["mean_error"] <= statistics["root_mean_square"]
    assert statistics["root_mean_square"] < statistics["largest_error"]
    text = page.read_text()
    assert "EQUAL" in text
    assert "on ort-cpu, compared with" in text
    command("compare", small_keras, small_bundle, "--html", page).refused(2, "E-OPTION-EXISTS")


def test_the_agreement_of_predictions_and_the_runtimes_are_shown(
    small_bundle, inputs, tmp_path, command
):
    other = spoiled(small_bundle / "sequence.onnx", tmp_path / "other.onnx")
    page = tmp_path / "c.html"
    ended = command("compare", small_bundle, other, "--inputs", inputs, "--html", page)
    assert ended.code == 1
    assert f"{other} (ort-cpu) compared with {small_bundle} (ort-cpu)" in " ".join(
        ended.out.split()
    )
    assert "y: mean error " in ended.out
    assert "the same prediction in " in ended.out
    assert "DIFFERENT" in page.read_text()


def test_two_files_need_inputs(small_bundle, command):
    words = ("compare", small_bundle / "sequence.onnx", small_bundle / "model.tflite")
    command(*words).refused(2, "E-OPTION-NEEDS", "--inputs")


def test_agreement_counts_places_with_the_same_largest_value():
    values = np.array([[0.1, 0.9], [0.8, 0.2], [0.4, 0.6], [0.7, 0.3]])
    other = np.array([[0.2, 0.9], [0.1, 0.2], [0.4, 0.6], [0.7, 0.3]])
    pair = TensorPair(other, values)
    found = _statistics("y", [pair, pair], predicts=True)
    assert (found.predictions, found.agreement, found.values) == (8, 0.75, 16)
    assert found.mean_error == pytest.approx(0.8 / 8)
    assert found.root_mean_square == pytest.approx(np.sqrt(0.5 / 8))
    assert found.largest_error == pytest.approx(0.7)
    assert _statistics("h", [pair], predicts=False).agreement is None


def test_other_names_are_paired_by_order_and_it_is_reported(
    small_bundle, inputs, tmp_path, command
):
    names = {"x": "input_1", "y": "output_1"}
    other = renamed(small_bundle / "sequence.onnx", tmp_path / "other.onnx", names)
    ended = command("compare", small_bundle / "sequence.onnx", other, "--inputs", inputs)
    assert ended.code == 0
    assert "paired by order: x with input_1" in ended.err
    assert "paired by order: y with output_1" in ended.err


def test_nan_in_one_of_them_is_apart_and_in_both_is_reported(small_bundle, tmp_path, x, command):
    x[0, 0, 0] = np.nan
    np.savez(tmp_path / "nan.npz", x=x)
    words = [small_bundle / "sequence.onnx", small_bundle / "model.tflite"]
    ended = command("compare", *words, "--inputs", tmp_path / "nan.npz")
    assert "NaN or infinity in 'y'" in ended.err


def test_a_mistake_is_one_line(small_bundle, inputs, tmp_path, command):
    sequence, stream = small_bundle / "sequence.onnx", small_bundle / "stream.onnx"
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    (tmp_path / "bad.tflite").write_bytes(b"nothing" * 9)
    for second, word in (
        (stream, "E-VERIFY-UNPAIRED"),
        (tmp_path / "gone.onnx", "gone.onnx"),
        (tmp_path / "x.npz", ".onnx or .tflite"),
        (tmp_path / "bad.onnx", "bad.onnx"),
        (tmp_path / "bad.tflite", "bad.tflite"),
    ):
        command("compare", sequence, second, "--inputs", inputs).refused(2, word)
    words = ("compare", sequence, sequence, "--inputs", inputs, "--runtime", "ort-cpu")
    command(*words).refused(2, "E-OPTION-NEEDS", str(sequence))


def test_a_keras_model_in_parts_is_compared_and_its_options_need_one(
    command, small_bundle, small_keras, tmp_path
):
    import keras

    model = keras.models.load_model(small_keras)
    (tmp_path / "model.json").write_text(model.to_json())
    model.save_weights(tmp_path / "w.weights.h5")
    weights = ("--weights", tmp_path / "w.weights.h5")
    assert command("compare", tmp_path / "model.json", small_bundle, *weights).code == 0
    ended = command("compare", small_bundle, small_bundle, *weights)
    assert (ended.code, "E-OPTION-NEEDS" in ended.err) == (2, True)
