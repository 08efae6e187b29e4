"""`rnn-deploy debug`: layer by layer, and the fault by its name, in real files."""

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx

from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.manifest import json_from_manifest
from rnn_deploy.bundle.store import record_of


def altered(root, change):
    """Change the ONNX files of a bundle and put its manifest in order, as a faulty export would."""
    for name in ("sequence.onnx", "stream.onnx"):
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


def test_a_good_bundle_is_right_in_every_layer(small_bundle, small_keras, command):
    words = ("debug", small_bundle, "--against", small_keras, "--runtime", "ort-cpu", "--json")
    ended = command(*words)
    found = json.loads(ended.out)
    assert (ended.code, found["passed"]) == (0, True)
    for entry in ("sequence", "stream"):
        layers = {each["layer"]: each["passed"] for each in found["entries"][entry]["layers"]}
        assert layers == {"first": True, "second": True, "y": True}


def test_a_flipped_bit_is_found_in_its_layer_and_called_by_name(small_bundle, small_keras, command):
    altered(small_bundle, flip_a_bit)
    words = ("debug", small_bundle, "--against", small_keras, "--runtime", "ort-cpu")
    ended = command(*words)
    assert ended.code == 1
    assert "layer 'second' is the first that differs" in ended.err
    assert "one weight differs in one bit: kernel[" in ended.out
    assert "(bit 22 of its float32 is flipped)" in ended.out
    found = json.loads(command(*words, "--json").out)
    for entry in found["entries"].values():
        layers = {each["layer"]: each["passed"] for each in entry["layers"]}
        assert layers == {"first": True, "second": False, "y": False}
    assert {finding["layer"] for finding in found["findings"]} >= {"second"}
    without = command("debug", small_bundle, "--runtime", "ort-cpu")
    assert without.code == 1
    assert "state h of layer 'second'" in without.out
    assert "next: --against MODEL" in without.err


def test_mistakes_are_one_line(small_bundle, small_keras, tmp_path, command):
    command("debug", small_bundle, "--case", "n1t1").refused(2, "which needs --against MODEL")
    words = ("debug", small_bundle, "--against", small_keras, "--case", "none")
    command(*words).refused(2, "no golden case 'none'; there are n1t1")
    command("debug", tmp_path / "gone").refused(2, "no such bundle")
    shutil.copy(small_bundle / "golden.npz", tmp_path / "model.keras")
    command("debug", small_bundle, "--against", tmp_path / "model.keras").refused(2, "model.keras")
