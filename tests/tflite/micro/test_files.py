"""For microcontrollers: run in TFLite-Micro's own interpreter, as C++, and what is refused."""

import dataclasses
import re
import shutil
import subprocess

import keras
import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.appraisal import file_report
from rnn_deploy.bundle.manifest import json_from_manifest
from rnn_deploy.bundle.store import MANIFEST, record_of
from rnn_deploy.errors import BundleError, InputError, UnsupportedModelError
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.tflite.flatbuffer.merge import unpacked
from rnn_deploy.tflite.flatbuffer.packing import packed
from rnn_deploy.tflite.micro import files as micro
from rnn_deploy.tflite.micro.source import resolver_call
from rnn_deploy.workers.process import WorkerProcess
from rnn_deploy.workers.serving import FunctionServer
from tests.support import worker_calls
from tests.support.errors import raises
from tests.support.models import randomised

layers = keras.layers
CALLS = worker_calls.__name__


def _model():
    x = keras.Input((None, 4), name="x")
    y = layers.GRU(6, return_sequences=True, name="first")(x)
    y = layers.Dense(3, activation="softmax", name="y")(layers.LSTM(5, name="second")(y))
    return randomised(keras.Model(x, y, name="mine"), 5, 0.4)


@pytest.fixture(scope="module")
def _made(tmp_path_factory):
    place = tmp_path_factory.mktemp("micro") / "b"
    return rnn_deploy.export(_model(), place, to="tflite-micro", time=5, long=30).root


@pytest.fixture
def bundle(_made, tmp_path):
    return open_bundle(shutil.copytree(_made, tmp_path / "b"))


def test_outputs_and_states_are_the_original_s_in_the_real_interpreter(bundle):
    report = rnn_deploy.verify(bundle)
    assert report.passed
    assert {c.runtime for c in report.comparisons} == {"tflite-micro"}
    kinds = {(c.check, c.name) for c in report.comparisons}
    states = {"first_h_out", "second_h_out", "second_c_out"}
    assert {
        ("sequence", "y"),
        *((check, s) for check in ("states", "step") for s in states),
    } <= kinds
    assert max(c.max_abs for c in report.comparisons if c.check != "extremes") < 2e-6


@pytest.mark.parametrize(
    ("cell", "units", "steps", "loops"),
    [("SimpleRNN", 64, 203, 2), ("GRU", 5, 71, 1), ("LSTM", 5, 71, 1)],
)
def test_a_long_sequence_is_a_loop_there(tmp_path, cell, units, steps, loops):
    x = keras.Input((None, 3), name="x")
    y = getattr(layers, cell)(units, return_sequences=True, name="rnn")(x)
    model = randomised(keras.Model(x, y, name="mine"), 7, 0.1)
    bundle = rnn_deploy.export(
        model, tmp_path / "b", to="tflite-micro", time=steps, long=0, tflite_lowering="loop"
    )
    sequence = unpacked((bundle.root / "sequence.tflite").read_bytes())
    assert len(sequence.subgraphs) == 1 + 2 * loops  # a condition and a body of each
    assert "WHILE" in bundle.manifest.artifacts[0].details["operators"]
    report = rnn_deploy.verify(bundle)
    assert report.passed
    assert {c.name for c in report.comparisons} >= {"rnn", "rnn_h_out"}


@pytest.mark.parametrize("cell", ["SimpleRNN", "LSTM"])
def test_what_is_written_in_place_is_right_where_all_is_copied(tmp_path, cell):
    x = keras.Input((None, 3), name="x")
    y = getattr(layers, cell)(6, return_sequences=True, name="rnn")(x)
    model = randomised(keras.Model(x, y, name="mine"), 7, 0.3)
    bundle = rnn_deploy.export(
        model, tmp_path / "b", to="tflite-micro", time=21, long=0, tflite_lowering="inplace"
    )
    sequence = unpacked((bundle.root / "sequence.tflite").read_bytes())
    assert any(len(set(o.outputs)) < len(o.outputs) for o in sequence.subgraphs[0].operators)
    assert rnn_deploy.verify(bundle).passed


def test_it_runs_and_streams_like_any_other(bundle):
    model = rnn_deploy.load(bundle)
    assert model.runtime == "tflite-micro"
    x = np.random.default_rng(0).standard_normal((1, 5, 4)).astype(np.float32)
    stream = model.stream()
    for t in range(5):
        y = stream.step(x[:, t : t + 1])
    np.testing.assert_allclose(y, model.predict(x), rtol=0, atol=1e-6)
    both = model.predict(np.concatenate([x, 2 * x]))  # row by row: its batch is fixed
    np.testing.assert_array_equal(both, np.concatenate([model.predict(x), model.predict(2 * x)]))
    with raises(InputError, "E-INPUT-SHAPE", "'x'", "(1, 5, 4)", "(1, 4, 4)"):
        model.predict(x[:, :4])
    with raises(InputError, "E-OPTION-THREADS", "tflite-micro"):
        rnn_deploy.load(bundle, threads=2)


def test_a_weight_that_is_one_percent_off_is_found(bundle):
    place = bundle.root / "stream.tflite"
    model = unpacked(place.read_bytes())
    (tensor,) = (t for t in model.subgraphs[0].tensors if list(t.shape) == [20, 5])
    buffer = model.buffers[tensor.buffer]
    values = np.frombuffer(bytes(buffer.data), np.float32)
    buffer.data = np.frombuffer((1.01 * values).astype(np.float32).tobytes(), np.uint8)
    place.write_bytes(packed(model))
    with raises(BundleError, "E-BUNDLE-ALTERED", "stream.tflite"):
        rnn_deploy.verify(bundle)
    files = [record_of(bundle.root, record.path) for record in bundle.manifest.files]
    manifest = dataclasses.replace(bundle.manifest, files=tuple(files))
    (bundle.root / MANIFEST).write_text(json_from_manifest(manifest))
    report = rnn_deploy.verify(open_bundle(bundle.root))
    assert {c.name for c in report.comparisons if not c.passed} >= {"second_h_out", "second_c_out"}
    assert all(c.passed for c in report.comparisons if c.check == "sequence")


def test_the_arena_is_the_smallest_that_is_enough(bundle):
    for model in bundle.manifest.artifacts:
        content, arena = (bundle.root / model.path).read_bytes(), model.details["arena"]
        with WorkerProcess(FunctionServer, time_limit=60) as process:
            found = [
                process.ask("call", "rnn_deploy.tflite.micro.worker:fits", content, size)
                for size in (arena, arena - 16, arena + 4096)
            ]
        assert found == [True, False, True]


def test_the_arrays_are_the_files(bundle):
    source = (bundle.root / "model_data.cc").read_text()
    for model in bundle.manifest.artifacts:
        content = (bundle.root / f"{model.entry}.tflite").read_bytes()
        begin = rf"alignas\(16\) const unsigned char {model.details['array']}\[\] = "
        body = re.search(begin + r"{(.*?)};", source, re.DOTALL)
        assert bytes(int(word, 16) for word in re.findall(r"0x..", body.group(1))) == content
        assert f"{model.details['array']}_len = {len(content)};" in source
        assert unpacked(content).subgraphs[0].name.decode() in (model.entry, "step")
    assert {r.path for r in bundle.manifest.files} >= {"model_data.cc", "model_data.h"}


def test_the_source_compiles_and_registers_the_operators(bundle, tmp_path):
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler on this machine")
    operators = sorted({o for a in bundle.manifest.artifacts for o in a.details["operators"]})
    calls = [resolver_call(operator) for operator in operators]
    (tmp_path / "main.cc").write_text(
        '#include "model_data.h"\n#include "model_data.h"\n#include <cstdio>\n#include <cstdint>\n'
        "struct Resolver { int count = 0;\n"
        + "".join(f"  void {call}() {{ ++count; }}\n" for call in calls)
        + "};\nint main() { Resolver r; AddOperators(r);\n"
        '  std::printf("%d %d %zu %d %zu\\n", r.count, kOperatorCount, g_stream_model_len,\n'
        "    int(reinterpret_cast<std::uintptr_t>(g_stream_model) % 16), kStreamArenaSize); }\n"
    )
    words = [compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", "-I", str(bundle.root)]
    words += [
        str(tmp_path / "main.cc"),
        str(bundle.root / "model_data.cc"),
        "-o",
        tmp_path / "main",
    ]
    subprocess.run(words, check=True, capture_output=True)
    said = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout
    (stream,) = (model for model in bundle.manifest.artifacts if model.entry == "stream")
    size, arena = (bundle.root / "stream.tflite").stat().st_size, stream.details["arena"]
    assert list(map(int, said.split())) == [len(calls), len(calls), size, 0, arena]


def test_names_of_operators_are_the_resolver_s():
    wanted = {
        "ADD": "AddAdd",
        "BATCH_MATMUL": "AddBatchMatMul",
        "CONV_2D": "AddConv2D",
        "DYNAMIC_UPDATE_SLICE": "AddDynamicUpdateSlice",
        "FULLY_CONNECTED": "AddFullyConnected",
        "SELECT_V2": "AddSelectV2",
        "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
    }
    assert {name: resolver_call(name) for name in wanted} == wanted


def test_an_operator_that_it_lacks_is_refused_with_its_layer(tmp_path):
    x = keras.Input((None, 3), name="x")
    y = layers.SimpleRNN(3, name="rnn")(x)
    model = keras.Model(x, layers.Dense(2, activation="gelu", name="bent")(y), name="mine")
    with raises(UnsupportedModelError, "E-MODEL-OPERATOR", "'bent'", "GELU", "--to tflite-micro"):
        rnn_deploy.export(model, tmp_path / "b", to="tflite-micro", time=2, long=0)
    assert list(tmp_path.iterdir()) == []


def test_an_interpreter_that_crashes_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(micro, "WORKER", f"{CALLS}:kills_itself")
    x = keras.Input((2, 3), name="x")
    model = keras.Model(x, layers.SimpleRNN(3, name="rnn")(x), name="mine")
    names = ("model 'mine'", "'sequence'", "SIGSEGV")
    with raises(UnsupportedModelError, "E-RUNTIME-CRASHED", *names):
        rnn_deploy.export(model, tmp_path / "b", to="tflite-micro", long=0)


@pytest.mark.parametrize(
    ("options", "code", "names"),
    [
        ({"to": ("onnx", "tflite-micro")}, "E-FORMAT-ALONE", ["tflite-micro", "onnx"]),
        ({"lowering": "scan"}, "E-EXPORT-OPTION-UNUSED", ["--lowering", "onnx"]),
        ({"opset": 18}, "E-EXPORT-OPTION-UNUSED", ["--opset", "onnx"]),
        ({"quantize": "float16"}, "E-FORMAT-QUANTIZE", ["float16", "int8", "TFLite-Micro"]),
        ({"quantize": "dynamic-int8"}, "E-FORMAT-QUANTIZE", ["dynamic-int8", "int8"]),
        ({"quantize": "int8"}, "E-EXPORT-CALIBRATION-MISSING", ["--calibration"]),
    ],
)
def test_options_that_do_not_fit_are_refused(options, code, names):
    with raises(InputError, code, *names):
        ExportOptions(**{"to": "tflite-micro", **options})


def test_open_lengths_are_refused(tmp_path):
    x = keras.Input((None, 3), name="x")
    model = keras.Model(x, layers.SimpleRNN(3, name="rnn")(x))
    with raises(InputError, "E-EXPORT-OPEN-SHAPE", "'x ", "--time N"):
        rnn_deploy.export(model, tmp_path / "b", to="tflite-micro")


def test_int16_inputs_and_states_there(tmp_path):
    data = {"x": np.random.default_rng(2).standard_normal((6, 5, 4)).astype(np.float32)}
    options = {"quantize": "int16x8", "calibration": data, "io": "int16", "time": 5, "long": 0}
    bundle = rnn_deploy.export(_model(), tmp_path / "b", to="tflite-micro", **options)
    assert min(cost.snr_db for cost in bundle.manifest.quantisation.costs) > 38
    assert rnn_deploy.verify(bundle).passed
    stream = bundle.manifest.artifact("tflite-micro", "stream")
    scales = stream.details["integers"]
    assert set(scales) == {"x", "y"} | {
        f"{state}_{way}" for state in ("first_h", "second_h", "second_c") for way in ("in", "out")
    }
    header = (bundle.root / "model_data.h").read_text()
    found = dict(re.findall(r"constexpr float kStream(\w+)_scale = (\S+)f;", header))
    assert {"Input_x", "Output_y", "Input_first_h_in", "Output_second_c_out"} < set(found)
    enters, leaves = float(found["Input_first_h_in"]), float(found["Output_first_h_out"])
    assert enters == leaves == scales["first_h_in"]["scale"]
    assert not {"QUANTIZE"} - set(stream.details["operators"])


def test_int8_is_within_its_budgets_there(tmp_path):
    data = {"x": np.random.default_rng(2).standard_normal((6, 5, 4)).astype(np.float32)}
    bundle = rnn_deploy.export(
        _model(),
        tmp_path / "b",
        to="tflite-micro",
        time=5,
        quantize="int8",
        calibration=data,
        long=0,
    )
    quantisation = bundle.manifest.quantisation
    assert (quantisation.format, quantisation.mode) == ("tflite-micro", "int8")
    assert quantisation.recurrent == quantisation.recurrent_all >= 4
    assert min(cost.snr_db for cost in quantisation.costs) > 20
    assert {"QUANTIZE", "DEQUANTIZE"} <= set(bundle.manifest.artifacts[0].details["operators"])
    assert rnn_deploy.verify(bundle).passed
    report = file_report(bundle.manifest)
    assert [each.file for each in report.files] == ["stream.tflite", "sequence.tflite"]
    for artifact in bundle.manifest.artifacts:
        arena, usual = (artifact.details[name] for name in ("arena", "float32_arena"))
        shown = f"{artifact.path} needs an arena of {arena:,} B, in float32 {usual:,} B"
        assert (arena > usual) == any(shown in note for note in bundle.manifest.notes)
    assert any(a.details["arena"] > a.details["float32_arena"] for a in bundle.manifest.artifacts)
