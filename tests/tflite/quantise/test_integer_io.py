"""Integers as inputs, outputs and states: their scales, the values, and what is refused."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import rnn_deploy
from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.manifest import json_from_manifest
from rnn_deploy.bundle.store import MANIFEST, record_of
from rnn_deploy.errors import InputError
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.tflite.flatbuffer.merge import unpacked
from rnn_deploy.tflite.flatbuffer.packing import packed
from rnn_deploy.tflite.quantise.integer_io import TensorScale
from tests.support.errors import raises
from tests.support.models import randomised

layers = keras.layers
REAL = np.random.default_rng(4).standard_normal((24, 9, 5)).astype(np.float32)
SIGNATURES = {"sequence", "stream", "step"}


def model():
    """Float and integer inputs, and an operator that stays float32 (ELU) before an output."""
    x, ids = keras.Input((None, 5), name="x"), keras.Input((None,), dtype="int32", name="ids")
    y = layers.Concatenate()([x, layers.Embedding(7, 3, name="table")(ids)])
    y = layers.LSTM(8, return_sequences=True, name="rnn")(y)
    outputs = [layers.Dense(3, activation="softmax", name="y")(y), layers.ELU(name="z")(y)]
    return randomised(keras.Model([x, ids], outputs, name="mine"), 3, 0.3)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    ids = np.random.default_rng(5).integers(0, 7, REAL.shape[:2]).astype(np.int32)
    original, data = model(), {"x": REAL, "ids": ids}
    place = tmp_path_factory.mktemp("integers") / "b"
    options = {"to": "tflite", "quantize": "int8", "io": "int8", "long": 0}
    return original, data, rnn_deploy.export(original, place, calibration=data, **options)


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("ends", [(-1.5, 3.25), (0.0, 1.0), (2.0, 5.0), (-4.0, -1.0), (0.0, 0.0)])
def test_a_scale_reaches_both_ends_and_zero(dtype, ends):
    scale = TensorScale.of_range(dtype, *ends)
    low, high = scale.range
    slack = scale.scale / 2 * (1 + 1e-5)
    assert low - slack <= min(ends[0], 0.0) <= max(ends[1], 0.0) <= high + slack
    assert np.iinfo(dtype).min <= scale.zero_point <= np.iinfo(dtype).max
    again = TensorScale.of_range(dtype, low, high)
    assert again.equals(scale)
    assert not again.equals(None)
    assert not dataclasses.replace(scale, scale=1.001 * scale.scale).equals(scale)


def test_one_name_has_one_scale_and_ids_stay(made):
    *_, bundle = made
    interpreter = Interpreter(model_content=(bundle.root / "model.tflite").read_bytes())
    found = {}
    for name in SIGNATURES:
        runner = interpreter.get_signature_runner(name)
        for tensor, detail in (runner.get_input_details() | runner.get_output_details()).items():
            found.setdefault(tensor, set()).add((detail["dtype"], detail["quantization"]))
    assert found.pop("ids") == {(np.int32, (0.0, 0))}
    assert {len(kinds) for kinds in found.values()} == {1}
    assert {kind for ((kind, _),) in found.values()} == {np.int8}
    for role in "hc":
        assert found[f"rnn_{role}_in"] == found[f"rnn_{role}_out"]
    (said,) = {json.dumps(a.details["integers"], sort_keys=True) for a in bundle.manifest.artifacts}
    assert json.loads(said) == {
        name: {"dtype": "int8", "scale": scale, "zero_point": zero}
        for name, ((_, (scale, zero)),) in found.items()
    }


def test_a_program_carries_the_integers_as_they_are(made):
    original, data, bundle = made
    scales = bundle.manifest.artifacts[0].details["integers"]
    runner = Interpreter(
        model_content=(bundle.root / "model.tflite").read_bytes()
    ).get_signature_runner("step")
    rows = len(REAL)
    states = {
        name: np.full((rows, 8), scales[name]["zero_point"], np.int8)
        for name in ("rnn_h_in", "rnn_c_in")
    }
    x = np.round(REAL / scales["x"]["scale"]) + scales["x"]["zero_point"]
    x = np.clip(x, -128, 127).astype(np.int8)
    outputs = []
    for t in range(REAL.shape[1]):
        here = {"x": x[:, t : t + 1], "ids": data["ids"][:, t : t + 1]}
        result = runner(**here, **states)
        states = {f"rnn_{role}_in": result[f"rnn_{role}_out"] for role in "hc"}
        outputs.append(result["y"])
    found = np.concatenate(outputs, axis=1).astype(np.float64)
    found = (found - scales["y"]["zero_point"]) * scales["y"]["scale"]
    truth = np.asarray(original(data)[0])
    assert 10 * np.log10(np.sum(truth**2) / np.sum((found - truth) ** 2)) > 28


def test_commands_take_and_return_float32_and_verify_passes(made):
    original, data, bundle = made
    found = rnn_deploy.load(bundle, "litert").predict(data)
    for value, truth in zip(found.values(), original(data), strict=True):
        assert value.dtype == np.float32
        truth = np.asarray(truth)
        assert 10 * np.log10(np.sum(truth**2) / np.sum((value - truth) ** 2)) > 22
    report = rnn_deploy.verify(bundle)
    assert report.passed
    assert {c.name for c in report.comparisons} >= {"y", "z", "rnn_h_out", "rnn_c_out"}


def test_a_scale_that_cuts_values_off_is_found(made, tmp_path):
    bundle = open_bundle(shutil.copytree(made[2].root, tmp_path / "b"))
    place = bundle.root / "model.tflite"
    file = unpacked(place.read_bytes())
    for definition in file.signatureDefs:
        (output,) = (entry for entry in definition.outputs if entry.name == b"y")
        tensor = file.subgraphs[definition.subgraphIndex].tensors[output.tensorIndex]
        tensor.quantization.scale = 0.2 * np.asarray(tensor.quantization.scale)
        # Its operator follows the scale; the softmax is then cut off at the end of the range.
    place.write_bytes(packed(file))
    files = tuple(
        record_of(bundle.root, r.path) if r.path == place.name else r for r in bundle.manifest.files
    )
    manifest = dataclasses.replace(bundle.manifest, files=files)
    (bundle.root / MANIFEST).write_text(json_from_manifest(manifest))
    report = rnn_deploy.verify(bundle.root)
    assert not report.passed


def test_a_model_without_finite_results_has_no_ranges(tmp_path):
    x = keras.Input((None, 5), name="x")
    y = layers.LSTM(4, return_sequences=True, name="rnn")(x)
    broken = keras.Model(x, layers.Lambda(keras.ops.log, name="y")(y), name="mine")
    with raises(InputError, "E-EXPORT-CALIBRATION-RESULT", "'mine'", "'y'", "--calibration"):
        rnn_deploy.export(
            broken, tmp_path / "b", to="tflite", quantize="int8", calibration={"x": REAL}, long=0
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "code", "names"),
    [
        ({"io": "int8"}, "E-EXPORT-IO", ["--io int8", "--quantize int8"]),
        ({"io": "int16", "quantize": "int8", "calibration": {}}, "E-EXPORT-IO", ["int16x8"]),
        ({"io": "int8", "quantize": "float16"}, "E-EXPORT-IO", ["--quantize int8"]),
        ({"io": "uint8"}, "E-EXPORT-CHOICE", ["uint8", "float32, int8, int16"]),
        ({"io": "int8", "to": "onnx"}, "E-EXPORT-OPTION-UNUSED", ["--io", "--to tflite"]),
    ],
)
def test_integers_that_the_file_does_not_have_are_refused(options, code, names):
    with raises(InputError, code, *names):
        ExportOptions(**{"to": "tflite", **options})
