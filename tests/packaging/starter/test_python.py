"""`package --for python`: the program is run, as a user runs it."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.attachments import Attachments
from rnn_deploy.bundle.npz import read_npz, write_npz
from rnn_deploy.bundle.store import MANIFEST
from rnn_deploy.errors import BundleError, InputError, RuntimeUnavailableError
from rnn_deploy.packaging.registry import packager_named
from rnn_deploy.packaging.starter import program, vectors
from rnn_deploy.packaging.starter.program import program_of
from rnn_deploy.packaging.starter.python import model_source
from rnn_deploy.packaging.writing import write_package
from tests.support.errors import raises


def written(bundle, folder):
    packager = packager_named("python")
    write_package(packager, bundle, packager.package(bundle, {}).files, folder, force=False)
    return folder


def python(folder, script):
    # -I: with NumPy and ONNX Runtime alone, not this project.
    path = "import runpy, sys; sys.path.insert(0, '.'); "
    code = f"{path}runpy.run_path({script!r}, run_name='__main__')"
    words = [sys.executable, "-I", "-W", "error", "-c", code]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", ["streaming", "tokens", "several", "backwards"])
def test_a_program_checks_itself_and_runs(name, request, tmp_path):
    folder = written(request.getfixturevalue(name), tmp_path / "out")
    checked = python(folder, "check.py")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.startswith("passed: ")
    shown = python(folder, "example.py")
    assert shown.returncode == 0, shown.stderr
    assert ("state: " in shown.stdout) == (name != "backwards")


def test_the_program_is_what_the_bundle_computes(streaming, tmp_path, x):
    folder = written(streaming, tmp_path / "out")
    np.save(folder / "x.npy", x)
    (folder / "mine.py").write_text(
        "import numpy as np\nfrom model import Model\nx = np.load('x.npy')\nmodel = Model(2)\n"
        "first = model.step(x[:, :2])\nsaved = model.state\nmodel.reset(2)\nmodel.state = saved\n"
        "np.save('y.npy', np.concatenate([first, model.step(x[:, 2:])], axis=1))\n"
    )
    ended = python(folder, "mine.py")
    assert ended.returncode == 0, ended.stderr
    expected = rnn_deploy.load(streaming).predict(x)
    assert np.allclose(np.load(folder / "y.npy"), expected, atol=1e-6)


@pytest.mark.parametrize("value", [0.5, np.nan])
def test_a_wrong_golden_value_is_reported_with_its_place(streaming, tmp_path, value):
    folder = written(streaming, tmp_path / "out")
    arrays = read_npz(folder / "golden.npz")
    key = next(key for key in arrays if key.endswith("/truth/second_h_out"))
    arrays[key] = arrays[key].copy()
    arrays[key][0, 3] += value
    write_npz(folder / "golden.npz", arrays)
    ended = python(folder, "check.py")
    assert ended.returncode == 1
    for way in ("whole", "step by step"):
        assert f"{key.split('/')[0]}, {way}: second_h_out [0, 3] is " in ended.stdout
    assert "FAILED: 2 " in ended.stdout


def test_a_model_that_forgets_its_state_fails(streaming, tmp_path):
    folder = written(streaming, tmp_path / "out")
    text = (folder / "model.py").read_text()
    assert "self.state = dict(" in text
    (folder / "model.py").write_text(text.replace("self.state = dict(", "ignored = dict("))
    assert python(folder, "check.py").returncode == 1


def test_a_model_file_that_is_missing_is_one_clear_failure(streaming, tmp_path):
    folder = written(streaming, tmp_path / "out")
    (folder / "stream.onnx").unlink()
    ended = python(folder, "check.py")
    assert ended.returncode == 1
    assert "stream.onnx" in ended.stderr.splitlines()[-1]


def test_the_class_is_short(streaming):
    source = model_source(program_of(streaming, "onnx", "ort-cpu"))
    lines = [line for line in source.split("class Model")[1].splitlines() if line.strip()]
    assert len(lines) <= 16


def test_inputs_that_the_bundle_prepares_are_named(streaming, monkeypatch):
    def text():
        return packager_named("python").package(streaming, {}).files["README.md"].decode()

    assert "prepares" not in text()
    steps = {"x": [{"kind": "scaler"}]}
    monkeypatch.setattr(program, "attachments_of", lambda bundle: Attachments(steps=steps))
    assert "prepares raw inputs (x)" in text()


def test_a_bundle_without_onnx_is_refused(streaming):
    manifest = replace(
        streaming.manifest,
        artifacts=tuple(a for a in streaming.manifest.artifacts if a.format != "onnx"),
    )
    with raises(InputError, "E-BUNDLE-NO-ARTIFACT", "--to onnx"):
        packager_named("python").package(replace(streaming, manifest=manifest), {})


def test_a_runtime_that_is_wrong_for_the_model_is_refused(small_bundle):
    manifest = small_bundle / MANIFEST
    data = json.loads(manifest.read_text())
    for artifact in data["artifacts"]:
        for choice in artifact["choices"]:
            choice["not_on"] = ["ort-cpu"]
    manifest.write_text(json.dumps(data))
    with raises(RuntimeUnavailableError, "E-RUNTIME-WRONG", "ort-cpu", "first"):
        packager_named("python").package(open_bundle(small_bundle), {})


def test_an_altered_model_file_is_refused(small_bundle):
    with (small_bundle / "stream.onnx").open("ab") as file:
        file.write(b"0")
    with raises(BundleError, "E-BUNDLE-ALTERED", "stream.onnx"):
        packager_named("python").package(open_bundle(small_bundle), {})


def test_a_bundle_without_small_vectors_is_refused(streaming, monkeypatch):
    monkeypatch.setattr(vectors, "MOST_VALUES", 1)
    with raises(BundleError, "E-BUNDLE-NO-GOLDEN", "stream"):
        packager_named("python").package(streaming, {})
