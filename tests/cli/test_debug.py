"""`rnn-deploy debug`: layer by layer, and the fault by its name, in real files."""

import json
import shutil
from dataclasses import replace

import keras
import numpy as np
import onnx
import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.manifest import json_from_manifest
from rnn_deploy.bundle.store import record_of
from rnn_deploy.cli import debug
from rnn_deploy.verifying.diagnose.by_layer import LayerComparison, LayerReport
from tests.support.reports import GOOD, report_of


def altered(root, change, names=("sequence.onnx", "stream.onnx")):
    """Change the ONNX files of a bundle, and update its manifest as a faulty export would."""
    for name in names:
        model = onnx.load(root / name)
        change(model.graph)
        onnx.save(model, root / name)
    manifest = open_bundle(root).manifest
    files = tuple(record_of(root, record.path) for record in manifest.files)
    text = json_from_manifest(replace(manifest, files=files))
    (root / "manifest.json").write_text(text, encoding="utf-8")
    return root


def flip_a_bit(graph):
    """One bit of a weight of layer 'second', wherever it is written."""
    for value in graph.initializer:
        array = onnx.numpy_helper.to_array(value).copy()
        if value.name.startswith("second/") and array.ndim > 1 and array.size == 20:
            array.reshape(-1).view(np.uint32)[6] ^= np.uint32(1 << 22)
            value.CopyFrom(onnx.numpy_helper.from_array(array, value.name))


def flip_a_bit_of_the_head(graph):
    for value in graph.initializer:
        array = onnx.numpy_helper.to_array(value).copy()
        if value.name.startswith("y/") and array.ndim > 1:
            array.reshape(-1).view(np.uint32)[1] ^= np.uint32(1 << 21)
            value.CopyFrom(onnx.numpy_helper.from_array(array, value.name))


def spoil_tflite(root, model):
    """The same weight in the TFLite file, where its bytes stand as they are in the layer."""
    kernel = np.ascontiguousarray(model.get_layer("second").get_weights()[0].T)
    spoiled = kernel.copy()
    spoiled.reshape(-1).view(np.uint32)[6] ^= np.uint32(1 << 22)
    content = (root / "model.tflite").read_bytes()
    assert content.count(kernel.tobytes()) == 1
    content = content.replace(kernel.tobytes(), spoiled.tobytes())
    (root / "model.tflite").write_bytes(content)
    return altered(root, lambda graph: None)


def layers_in(found):
    return {
        (runtime, entry): {each["layer"]: each["passed"] for each in of_entry["layers"]}
        for runtime, entries in found["runtimes"].items()
        for entry, of_entry in entries.items()
    }


@pytest.mark.parametrize("option", ["--model", "--against"])
def test_a_good_bundle_is_right_in_every_layer(option, small_bundle, small_keras, command):
    ended = command("debug", small_bundle, option, small_keras, "--json")
    found = json.loads(ended.out)
    assert (ended.code, found["passed"]) == (0, True)
    right = {"first": True, "second": True, "y": True}
    seen = layers_in(found)
    assert {runtime for runtime, _ in seen} >= {"ort-cpu", "litert", "openvino-cpu"}
    assert seen == {(r, e): right for r, _ in seen for e in ("sequence", "stream", "step")}


def test_a_flipped_bit_is_found_in_its_layer_and_called_by_name(small_bundle, small_keras, command):
    altered(small_bundle, flip_a_bit)
    words = ("debug", small_bundle, "--model", small_keras, "--runtime", "ort-cpu")
    ended = command(*words)
    assert ended.code == 1
    assert "layer 'second' is the first that differs" in ended.err
    assert "kernel[" in ended.out
    assert "(bit 22 of its float32 is flipped)" in ended.out
    found = json.loads(command(*words, "--json").out)
    wrong = {"first": True, "second": False, "y": False}
    right = {("ort-cpu", "step"): dict.fromkeys(wrong, True)}
    assert layers_in(found) == {("ort-cpu", e): wrong for e in ("sequence", "stream")} | right
    assert {finding["layer"] for finding in found["findings"]} >= {"second"}
    without = command("debug", small_bundle, "--runtime", "ort-cpu")
    assert without.code == 1
    assert "state h of layer 'second'" in without.out
    assert "--model MODEL" in without.err


def test_the_same_in_tflite_and_by_verify(small_bundle, small_keras, command):
    spoil_tflite(small_bundle, keras.saving.load_model(small_keras, compile=False))
    ended = command("debug", small_bundle, "--model", small_keras, "--json")
    wrong = {"first": True, "second": False, "y": False}
    seen = layers_in(json.loads(ended.out))
    assert seen["litert", "sequence"] == seen["litert", "stream"] == wrong
    assert all(all(seen["ort-cpu", entry].values()) for entry in ("sequence", "stream"))
    words = ("verify", small_bundle, "--model", small_keras, "--check", "states")
    ended = command(*words, "--runtime", "litert")
    assert ended.code == 1
    assert "layer by layer: 'second' is the first whose output differs" in ended.err
    assert "(bit 22 of its float32 is flipped)" in ended.err


def test_a_layer_without_states_is_found_by_its_output(small_bundle, small_keras, command):
    altered(small_bundle, flip_a_bit_of_the_head)
    words = ("verify", small_bundle, "--model", small_keras, "--check", "states")
    ended = command(*words, "--runtime", "ort-cpu", "--no-isolate")
    assert "'y' (every state is right)" in ended.err
    assert "layer by layer: 'y' is the first whose output differs" in ended.err


def noise(graph):
    """Noise on every weight of layer 'second': no fault that has a name."""
    rng = np.random.default_rng(3)
    for value in graph.initializer:
        if value.name.startswith("second/"):
            array = onnx.numpy_helper.to_array(value)
            array = array + rng.normal(0, 0.1, array.shape).astype(array.dtype)
            value.CopyFrom(onnx.numpy_helper.from_array(array, value.name))


def test_a_fault_in_the_form_for_single_steps_is_in_its_table(small_bundle, small_keras, command):
    altered(small_bundle, noise, names=["step.onnx"])
    words = ("debug", small_bundle, "--model", small_keras, "--runtime", "ort-cpu")
    ended = command(*words)
    assert ended.code == 1
    assert "entry point 'step', layer by layer" in ended.out
    assert "'second' is the first whose output differs" in ended.out
    assert "no known fault fits these values" in ended.out
    found = json.loads(command(*words, "--json").out)
    assert (found["passed"], found["verdict"][:6]) == (False, "FAILED")
    seen = layers_in(found)
    assert all(seen["ort-cpu", "stream"].values())
    assert seen["ort-cpu", "step"] == {"first": True, "second": False, "y": False}


def test_the_verdict_agrees_with_the_tables():
    wrong = LayerComparison("rnn", replace(GOOD, max_abs=1.0))
    right = LayerComparison("rnn", GOOD)
    tables = {
        name: {"ort-cpu": {"stream": LayerReport((each,))}}
        for name, each in (("wrong", wrong), ("right", right))
    }
    passed, failed = report_of(GOOD), report_of(replace(GOOD, check="step", max_abs=1.0))
    assert debug._verdict(tables["right"], passed) == passed.verdict
    assert debug._verdict(tables["wrong"], failed) == failed.verdict
    assert debug._verdict(tables["wrong"], passed).startswith("FAILED: layer 'rnn' differs")
    assert not debug._passed(tables["wrong"], passed)
    assert debug._verdict(tables["right"], failed).endswith("the fault shows only in step")


def test_mistakes_are_one_line(small_bundle, small_keras, tmp_path, command):
    command("debug", small_bundle, "--case", "n1t1").refused(2, "E-OPTION-NEEDS", "--model")
    words = ("debug", small_bundle, "--against", small_keras, "--case", "none")
    command(*words).refused(2, "E-VERIFY-UNKNOWN-CASE", "'none'", "n1t1")
    both = ("--against", small_keras, "--model", small_keras)
    command("debug", small_bundle, *both).refused(2, "E-OPTION-CONFLICT", "--model")
    command("verify", small_bundle, *both).refused(2, "E-OPTION-CONFLICT", "--model")
    missing = command("verify", small_bundle, "--model", tmp_path / "no")
    missing.refused(2, "E-SOURCE-NOT-FOUND", str(tmp_path / "no"))
    command("debug", tmp_path / "gone").refused(2, "gone")
    shutil.copy(small_bundle / "golden.npz", tmp_path / "model.keras")
    command("debug", small_bundle, "--against", tmp_path / "model.keras").refused(2, "model.keras")
