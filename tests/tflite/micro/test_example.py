"""The generated header and example.cc: compiled, and run on TFLite-Micro's own interpreter.

The interpreter is that of the package tflite-micro behind a stand-in for its C++ interface. With
TFLITE_MICRO_LIBRARY (the static library) and TFLITE_MICRO_INCLUDE (folders with the headers) the
same program is also compiled with the real sources, which no package index has.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.tflite.micro.source import MicroFile, MicroTensor, constants_of, resolver_call
from tests.support.models import randomised

layers = keras.layers
SUPPORT = Path(__file__).parents[2] / "support"
HEADERS = (
    "tensorflow/lite/c/common.h",
    "tensorflow/lite/micro/micro_interpreter.h",
    "tensorflow/lite/micro/micro_mutable_op_resolver.h",
    "tensorflow/lite/schema/schema_generated.h",
)
COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
STRICT = ("-std=c++17", "-Wall", "-Wextra", "-Werror")
LIBRARY = os.environ.get("TFLITE_MICRO_LIBRARY", "")
compiled = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler; .ci/run installs it")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    x = keras.Input((None, 4), name="mel-bands")
    ids = keras.Input((None,), dtype="int32", name="ids")
    joined = layers.Concatenate()([x, layers.Embedding(7, 3, name="names")(ids)])
    y = layers.GRU(6, return_sequences=True, name="first")(joined)
    y = layers.Dense(3, name="y")(layers.LSTM(5, name="second")(y))
    model = randomised(keras.Model([x, ids], y, name="mine"), 5, 0.4)
    place = tmp_path_factory.mktemp("micro") / "b"
    return rnn_deploy.export(model, place, to="tflite-micro", time=5, long=0)


def _stand_in(bundle, place, entry, folder=None):
    """Build the example of a folder on the stand-in for TFLite-Micro's interface."""
    operators = {o for a in bundle.manifest.artifacts for o in a.details["operators"]}
    methods = "".join(f"  void {resolver_call(o)}() {{ ++count; }}\n" for o in sorted(operators))
    (place / "stand_in.h").write_text(
        f'#include "model_data.h"\n#include "{SUPPORT}/tflm_stand_in.h"\nnamespace tflite {{\n'
        "template <int most> struct MicroMutableOpResolver {\n  int count = 0;\n"
        f"{methods}}};\n}}\n"
    )
    for name in HEADERS:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text('#pragma once\n#include "stand_in.h"\n')
    defined = {"PYTHON": f'"{sys.executable}"', "SERVER": f'"{SUPPORT}/tflm_server.py"'}
    defined["LENGTH"] = f"g_{entry}_model_len"
    flags = [*STRICT, *(f"-DTFLM_{name}={value}" for name, value in defined.items())]
    return _built(folder or bundle.root, place, [*flags, "-I", str(place)], [])


def _built(folder, place, flags, libraries):
    sources = [str(folder / name) for name in ("example.cc", "model_data.cc")]
    words = [COMPILER, *flags, "-I", str(folder), *sources, *libraries, "-o"]
    done = subprocess.run([*words, str(place / "example")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return place / "example"


def _run(program, *inputs):
    """Feed each call its inputs, one after the other; the numbers that each call printed."""
    calls = zip(*inputs, strict=True)
    text = "\n".join(" ".join(f"{v:.9g}" for each in call for v in each.flat) for call in calls)
    done = subprocess.run([program], input=text, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return np.array([[float(word) for word in line.split()] for line in done.stdout.splitlines()])


def _sequence(steps=9):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((1, steps, 4)).astype(np.float32)
    return x, rng.integers(0, 7, (1, steps)).astype(np.int32)


def _check_stream(bundle, program):
    x, ids = _sequence()
    stream = rnn_deploy.load(bundle).stream()
    feeds = [{"mel-bands": x[:, t : t + 1], "ids": ids[:, t : t + 1]} for t in range(9)]
    expected = np.concatenate([stream.step(each) for each in feeds]).reshape(9, 3)
    result = _run(program, x[0], ids[0])
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)


@compiled
def test_the_example_streams_with_its_states(bundle, tmp_path):
    program = _stand_in(bundle, tmp_path, "stream")
    _check_stream(bundle, program)


@compiled
@pytest.mark.parametrize(("quantize", "io"), [("int8", "int8"), ("int16x8", "int16")])
def test_the_example_converts_integers_and_starts_from_the_integer_of_zero(tmp_path, quantize, io):
    x = keras.Input((None, 4), name="x")
    y = layers.Dense(3, name="y")(layers.GRU(6, return_sequences=True, name="first")(x))
    model = randomised(keras.Model(x, y, name="mine"), 5, 0.6)
    values = np.random.default_rng(3).standard_normal((12, 9, 4)).astype(np.float32)
    options = {"quantize": quantize, "io": io, "calibration": {"x": values}, "time": 9, "long": 0}
    bundle = rnn_deploy.export(model, tmp_path / "b", to="tflite-micro", **options)
    stream = bundle.manifest.artifact("tflite-micro", "stream")
    assert (io == "int8") == bool(stream.details["integers"]["first_h_in"]["zero_point"])
    (tmp_path / "c").mkdir()
    result = _run(_stand_in(bundle, tmp_path / "c", "stream"), values[0])
    with rnn_deploy.load(bundle) as loaded:
        run = loaded.stream()
        expected = np.concatenate([run.step(values[:1, t : t + 1]) for t in range(9)])
    np.testing.assert_allclose(result, expected.reshape(9, 3), rtol=0, atol=1e-6)


@compiled
def test_an_example_that_forgets_its_states_is_found(bundle, tmp_path):
    spoiled = shutil.copytree(bundle.root, tmp_path / "spoiled")
    source = (spoiled / "example.cc").read_text()
    kept = "    SaveStates(interpreter);\n"
    assert source.count(kept) == 1
    (spoiled / "example.cc").write_text(source.replace(kept, "    (void)SaveStates;\n"))
    program = _stand_in(bundle, tmp_path, "stream", spoiled)
    with pytest.raises(AssertionError):
        _check_stream(bundle, program)


@compiled
def test_a_model_without_a_stream_is_run_whole(tmp_path):
    x = keras.Input((6, 4), name="x")
    y = layers.GRU(5, name="rnn")(layers.Conv1D(6, 3, name="conv")(x))
    model = randomised(keras.Model(x, y, name="mine"), 5, 0.4)
    bundle = rnn_deploy.export(model, tmp_path / "b", to="tflite-micro", long=0)
    assert {a.entry for a in bundle.manifest.artifacts} == {"sequence"}
    (tmp_path / "c").mkdir()
    program = _stand_in(bundle, tmp_path / "c", "sequence")
    values = np.random.default_rng(3).standard_normal((3, 6, 4)).astype(np.float32)
    expected = rnn_deploy.load(bundle).predict(values)
    np.testing.assert_allclose(_run(program, values), expected, rtol=0, atol=1e-6)
    # The model may take any number of steps, but not in this format.
    assert not any("--time open" in note for note in bundle.manifest.notes)


@compiled
@pytest.mark.skipif(not LIBRARY, reason="TFLITE_MICRO_LIBRARY names no library of TFLite-Micro")
def test_the_example_streams_with_the_real_sources(bundle, tmp_path):
    folders = os.environ["TFLITE_MICRO_INCLUDE"].split(os.pathsep)
    flags = ["-std=c++17", "-DTF_LITE_STATIC_MEMORY", "-fno-rtti", "-fno-exceptions"]
    flags += [word for folder in folders for word in ("-isystem", folder)]
    _check_stream(bundle, _built(bundle.root, tmp_path, flags, [LIBRARY, "-Wl,--gc-sections"]))


def test_the_header_names_indices_shapes_and_states(bundle):
    header = (bundle.root / "model_data.h").read_text()
    for line in (
        "constexpr int kStreamInput_mel_bands = 0;  // float",
        "constexpr int kStreamInput_mel_bands_shape[] = {1, 1, 4};",
        "constexpr int kStreamInput_ids = 1;  // int32_t",
        "constexpr int kSequenceInput_mel_bands_shape[] = {1, 5, 4};",
        "constexpr int kStreamInput_first_h_in_size = 6;",
        "    {kStreamInput_second_c_in, kStreamOutput_second_c_out},",
        "constexpr std::size_t kStreamStateBytes = 64;",
    ):
        assert line in header.splitlines()


def test_names_that_c_cannot_tell_apart_stay_apart():
    tensors = tuple(MicroTensor(name, (1,), 4, "float", "f") for name in ("a-b", "a_b", "a.b"))
    names, _ = constants_of(MicroFile("stream", b"", (), (), 16, tensors, ()))
    assert names == ["kStreamInput_a_b", "kStreamInput_a_b__2", "kStreamInput_a_b__3"]
