"""`rnn-deploy compare`: any two models on the same inputs."""

import json

import numpy as np
import onnx
import pytest


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


def test_other_names_are_paired_by_order_and_it_is_said(small_bundle, inputs, tmp_path, command):
    names = {"x": "input_1", "y": "output_1"}
    other = renamed(small_bundle / "sequence.onnx", tmp_path / "other.onnx", names)
    ended = command("compare", small_bundle / "sequence.onnx", other, "--inputs", inputs)
    assert ended.code == 0
    assert "paired by order: x with input_1" in ended.err
    assert "paired by order: y with output_1" in ended.err


def test_nan_in_one_of_them_is_apart_and_in_both_is_said(small_bundle, tmp_path, x, command):
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
