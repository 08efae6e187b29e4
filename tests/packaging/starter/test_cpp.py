"""`package --for cpp`: the programs are compiled with real headers and run on the real library.

The library is the one in the wheel of onnxruntime, whose interface only grows, so headers of any
older version fit. No package index has the headers, so they come from ONNXRUNTIME_INCLUDE or from
the system.
"""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from rnn_deploy.errors import InputError, RuntimeUnavailableError
from rnn_deploy.packaging.registry import packager_named
from rnn_deploy.packaging.starter.names import quoted
from rnn_deploy.packaging.writing import write_package
from tests.support.errors import raises

HEADER = "onnxruntime_cxx_api.h"
PLACES = (
    os.environ.get("ONNXRUNTIME_INCLUDE", ""),
    *("/usr/include", "/usr/include/onnxruntime", "/usr/include/onnxruntime/core/session"),
    *("/usr/local/include", "/usr/local/include/onnxruntime"),
)
INCLUDE = next((place for place in PLACES if place and (Path(place) / HEADER).is_file()), None)
CAPI = Path(onnxruntime.__file__).parent / "capi"
LIBRARY = next(iter(sorted(CAPI.glob("libonnxruntime.so*"))), None)
compiled = pytest.mark.skipif(
    shutil.which("g++") is None or INCLUDE is None or LIBRARY is None,
    reason=f"needs g++ and {HEADER}: set ONNXRUNTIME_INCLUDE to the folder with the header",
)


def written(bundle, folder):
    packager = packager_named("cpp")
    write_package(packager, bundle, packager.package(bundle, {}).files, folder, force=False)
    return folder


def build(folder, program):
    libraries = folder / "lib"
    libraries.mkdir(exist_ok=True)
    if not (libraries / "libonnxruntime.so.1").exists():
        (libraries / "libonnxruntime.so.1").symlink_to(LIBRARY)
    words = ["g++", "-std=c++17", "-O0", "-Wall", "-Wextra", "-Werror", "-isystem", INCLUDE]
    words += [f"{program}.cpp", str(libraries / "libonnxruntime.so.1"), f"-Wl,-rpath,{libraries}"]
    done = subprocess.run([*words, "-o", program], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:2000]


def run(folder, program):
    return subprocess.run([f"./{program}"], cwd=folder, capture_output=True, text=True, timeout=60)


@compiled
@pytest.mark.parametrize("name", ["several", "backwards"])
def test_the_programs_compile_without_warnings_and_run(name, request, tmp_path):
    folder = written(request.getfixturevalue(name), tmp_path / "out")
    build(folder, "selftest")
    ended = run(folder, "selftest")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.startswith("passed: 0 of ")
    build(folder, "example")
    shown = run(folder, "example")
    assert shown.returncode == 0, shown.stderr
    (folder / "stream.onnx").unlink(missing_ok=True)
    (folder / "sequence.onnx").unlink(missing_ok=True)
    missing = run(folder, "example")
    assert missing.returncode == 1
    assert "error: " in missing.stderr


@compiled
def test_faults_are_found(streaming, tmp_path):
    folder = written(streaming, tmp_path / "out")
    build(folder, "selftest")
    place = folder / "golden.bin"
    good = place.read_bytes()
    assert run(folder, "selftest").returncode == 0
    values = np.frombuffer(good, "<f8").copy()
    values[-2] += 0.5  # the last state but one
    place.write_bytes(values.tobytes())
    ended = run(folder, "selftest")
    assert ended.returncode == 1
    assert ended.stdout.count("second_h_out[") == 2  # whole, and step by step
    place.write_bytes(good[:-8])
    ended = run(folder, "selftest")
    assert ended.returncode == 2
    assert "golden.bin" in ended.stderr
    place.write_bytes(good)
    header = folder / "model.hpp"
    forgets = "        second_h_in = values<float>(out[2]);\n"
    assert forgets in header.read_text()
    header.write_text(header.read_text().replace(forgets, ""))
    build(folder, "selftest")
    assert run(folder, "selftest").returncode == 1


def test_every_tensor_is_in_the_header_by_its_name(several):
    files = packager_named("cpp").package(several, {}).files
    header = files["model.hpp"].decode()
    entry = several.manifest.entry("stream")
    for tensor in (*entry.all_inputs, *entry.all_outputs):
        assert quoted(tensor.name) in header
    assert "stream.onnx" in files
    assert not any("@" in files[name].decode() for name in files if name.endswith(".cpp"))


def test_a_dtype_that_no_program_holds_is_refused(streaming):
    manifest = streaming.manifest
    entries = [
        replace(e, outputs=tuple(replace(t, dtype="float16") for t in e.outputs))
        for e in manifest.entries
    ]
    changed = replace(streaming, manifest=replace(manifest, entries=tuple(entries)))
    with raises(InputError, "E-OPTION-PACKAGER-DTYPE", "'y'", "float16"):
        packager_named("cpp").package(changed, {})


def test_a_runtime_that_is_wrong_for_the_model_is_refused(streaming):
    manifest = streaming.manifest
    wrong = [
        replace(a, choices=tuple(replace(c, not_on=("ort-cpu",)) for c in a.choices))
        for a in manifest.artifacts
    ]
    changed = replace(streaming, manifest=replace(manifest, artifacts=tuple(wrong)))
    with raises(RuntimeUnavailableError, "E-RUNTIME-WRONG", "ort-cpu"):
        packager_named("cpp").package(changed, {})
