"""`rnn-deploy export`: what it writes and says, and everything it refuses."""

import json
import re

import keras
import numpy as np
import pytest

from rnn_deploy.bundle import open_bundle, read_cases
from rnn_deploy.bundle.store import MANIFEST
from rnn_deploy.exporting import writing
from tests.support.models import randomised

layers = keras.layers


def _model(*stack, name="m"):
    x = t = keras.Input((None, 3), name="x")
    for layer in stack:
        t = layer(t)
    return randomised(keras.Model(x, t, name=name))


@pytest.fixture
def saved(tmp_path):
    """Save a model of these layers: its path."""

    def save(*stack):
        place = tmp_path / "model.keras"
        _model(*stack).save(place)
        return place

    return save


def test_a_bundle_is_written_and_what_was_done_is_said(command, small_keras, tmp_path):
    ended = command("export", small_keras, "-o", tmp_path / "a place" / "b", "--to", "onnx")
    assert (ended.code, ended.out) == (0, "")
    bundle = open_bundle(tmp_path / "a place" / "b")
    assert {a.format for a in bundle.manifest.artifacts} == {"onnx"}
    for record in (r for r in bundle.manifest.files if "/" not in r.path):
        assert f"{record.path} {record.size:,} B" in ended.err
    assert re.search(r"test_data/ [\d,]+ B\n", ended.err)
    assert "onnx stream: layer 'second' as native (" in ended.err
    assert f"next: rnn-deploy verify '{tmp_path / 'a place' / 'b'}'" in ended.err
    assert [p.name for p in (tmp_path / "a place").iterdir()] == ["b"]


def test_json_is_the_manifest_and_all_there_is_on_standard_output(command, small_keras, tmp_path):
    ended = command("export", small_keras, "-o", tmp_path / "b", "--to", "onnx", "--json")
    assert ended.code == 0
    assert json.loads(ended.out) == json.loads((tmp_path / "b" / MANIFEST).read_text())


def test_samples_and_time_and_lowering_reach_the_bundle(command, small_keras, tmp_path, x):
    np.savez(tmp_path / "x.npz", x=x)
    options = ("--samples", tmp_path / "x.npz", "--time", 6, "--lowering", "unrolled")
    ended = command("export", small_keras, "-o", tmp_path / "b", "--to", "onnx", *options)
    assert ended.code == 0, ended.err
    manifest = open_bundle(tmp_path / "b").manifest
    assert manifest.entry("sequence").inputs[0].shape == ("batch", 6, 3)
    cases = {case.name: case for case in read_cases(tmp_path / "b" / manifest.golden)}
    np.testing.assert_array_equal(cases["samples"].feeds["x"], x)
    assert "sequence: layer 'first' as unrolled" in ended.err


# What is no model


def _cut(content):
    return content[: len(content) // 2]


def _flipped(content):
    return content[:2000] + bytes([content[2000] ^ 1]) + content[2001:]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (None, "no such file; give a .keras or .h5 file, or a SavedModel folder"),
        (lambda content: b"", "is not a Keras model"),
        (lambda content: b"junk" * 50, "is not a Keras model"),
        (_cut, "or it was cut; save it again with model.save(...)"),
        (_flipped, "Keras cannot load it ("),
        (lambda content: b"\x89HDF\r\n\x1a\n" + b"0" * 300, "Keras cannot load it ("),
    ],
    ids=["missing", "empty", "junk", "cut", "flipped", "bad hdf5"],
)
@pytest.mark.parametrize("verb", ["export", "inspect"])
def test_what_is_no_model_is_refused(
    command, snapshot, small_keras, tmp_path, damage, message, verb
):
    place = tmp_path / "model.keras"
    if damage is not None:
        place.write_bytes(damage(small_keras.read_bytes()))
    before = snapshot()
    if verb == "inspect" and damage is None:
        message = "no such bundle"
    words = ("-o", tmp_path / "b") if verb == "export" else ()
    command(verb, place, *words).refused(2, "model.keras: ", message)
    assert snapshot() == before


def test_a_folder_that_is_no_saved_model_is_refused(command, tmp_path):
    ended = command("export", tmp_path, "-o", tmp_path / "b")
    ended.refused(2, f"{tmp_path}: a folder without saved_model.pb is not a SavedModel")


# What cannot be exported


@pytest.mark.parametrize("verb", ["export", "inspect"])
def test_every_layer_that_cannot_be_exported_is_listed(command, snapshot, saved, tmp_path, verb):
    place = saved(
        layers.Dense(2, dtype=keras.dtype_policies.get("int8_from_float32"), name="odd"),
        layers.SimpleRNN(2, return_sequences=True, name="fine"),
        layers.Dense(2, dtype=keras.dtype_policies.get("int8_from_float32"), name="odder"),
    )
    before = snapshot()
    words = ("-o", tmp_path / "b") if verb == "export" else ()
    line = command(verb, place, *words).refused(
        4,
        "model 'm' cannot be exported exactly: ",
        "layer 'odd': is quantised (int8_from_float32); export the model unquantised",
        "layer 'odder': is quantised (int8_from_float32)",
    )
    assert "'fine'" not in line
    assert snapshot() == before


@pytest.mark.parametrize("verb", ["export", "inspect"])
def test_code_in_a_model_runs_only_when_trusted(command, snapshot, saved, tmp_path, verb):
    doubled = layers.Lambda(lambda t: 2 * t, output_shape=(None, 2), name="own")
    place = saved(layers.SimpleRNN(2, return_sequences=True, name="rnn"), doubled)
    before = snapshot()
    words = ("-o", tmp_path / "b", "--to", "onnx") if verb == "export" else ()
    command(verb, place, *words).refused(4, "holds code of its own (a Lambda", "--trust-source")
    assert snapshot() == before
    assert command(verb, place, *words, "--trust-source").code == 0


def test_a_class_that_is_not_here_is_refused(command, tmp_path):
    class Own(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    _model(Own(name="own"), layers.SimpleRNN(2)).save(tmp_path / "m.keras")
    ended = command("export", tmp_path / "m.keras", "-o", tmp_path / "b")
    ended.refused(4, "needs a class that Keras does not have here", "rnn_deploy.export(model, ...)")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--lowering", "magic"], 2, "no lowering 'magic'; there are auto, native, scan, unrolled"),
        (["--lowering", "unrolled"], 4, "needs a fixed number of steps, and time is open; add"),
        (["--samples", "gone.npz"], 2, "gone.npz: no such file; give an .npz file"),
    ],
)
def test_a_wrong_option_is_refused(command, snapshot, small_keras, tmp_path, words, code, message):
    before = snapshot()
    ended = command("export", small_keras, "-o", tmp_path / "b", "--to", "onnx", *words)
    ended.refused(code, message)
    assert snapshot() == before


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({"z": np.ones((2, 6, 3), "f")}, "--samples holds ['z'], the model's inputs are ['x']"),
        ({"x": np.ones((6, 3), "f")}, "'x' is float32(6, 3), the model takes x float32(batch, ti"),
        ({"x": np.ones((2, 6, 3))}, "'x' is float64(2, 6, 3), the model takes"),
        ({"x": np.ones((2, 0, 3), "f")}, "'x' is float32(2, 0, 3), the model takes"),
    ],
)
def test_samples_that_do_not_fit_are_refused(command, small_keras, tmp_path, samples, message):
    np.savez(tmp_path / "s.npz", **samples)
    words = ("-o", tmp_path / "b", "--to", "onnx", "--samples", tmp_path / "s.npz")
    command("export", small_keras, *words).refused(2, message)
    assert not (tmp_path / "b").exists()


# What is there before is still there


def _somebodys_folder(place):
    place.mkdir()
    (place / "diary.txt").write_text("dear diary")


def _a_bundle(place):
    place.mkdir()
    (place / MANIFEST).write_text("old")


@pytest.mark.parametrize(
    ("make", "force", "message"),
    [
        (_a_bundle, [], "exists already; add --force to replace it"),
        (_somebodys_folder, [], "exists already; add --force to replace it"),
        (_somebodys_folder, ["--force"], "is not a bundle, so --force does not replace it"),
        (lambda place: place.write_text("a letter"), ["--force"], "is not a bundle, so --force"),
    ],
    ids=["bundle", "folder", "folder forced", "file forced"],
)
def test_what_is_there_is_not_replaced(
    command, snapshot, small_keras, tmp_path, make, force, message
):
    make(tmp_path / "b")
    before = snapshot()
    ended = command("export", small_keras, "-o", tmp_path / "b", "--to", "onnx", *force)
    ended.refused(2, f"{tmp_path / 'b'}: ", message)
    assert snapshot() == before


def test_force_replaces_a_bundle_and_leaves_nothing_of_it(command, small_keras, small_bundle):
    old = open_bundle(small_bundle).digest
    assert command("export", small_keras, "-o", small_bundle, "--to", "onnx", "--force").code == 0
    assert not (small_bundle / "model.tflite").exists()
    assert open_bundle(small_bundle).digest != old
    assert [place.name for place in small_bundle.parent.iterdir()] == ["small"]


def test_a_disk_that_fills_up_while_writing_leaves_the_old_bundle(
    command, snapshot, disk_of, small_keras, small_bundle
):
    """The ONNX files fit, the golden vectors do not: a real file, cut half-way."""
    before = snapshot()
    with disk_of(10_000):
        ended = command("export", small_keras, "-o", small_bundle, "--to", "onnx", "--force")
    ended.refused(2, "File too large; nothing was changed")
    assert snapshot() == before
    assert command("verify", small_bundle, "--runtime", "ort-cpu").code == 0


@pytest.mark.parametrize("step", ["write_cases", "record_of", "json_from_manifest"])
def test_a_full_disk_at_any_step_is_one_line(
    command, snapshot, small_keras, small_bundle, monkeypatch, step
):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, step, full)
    before = snapshot()
    ended = command("export", small_keras, "-o", small_bundle, "--to", "onnx", "--force")
    ended.refused(2, "No space left on device; nothing was changed")
    assert snapshot() == before


def test_what_is_expected_decides_the_lowering(command, saved, tmp_path):
    place = saved(layers.SimpleRNN(64, name="rnn"))

    def lowerings(*words):
        ended = command("export", place, "-o", tmp_path / "b", "--to", "onnx", "--force", *words,
                        "--json")  # fmt: skip
        assert ended.code == 0, ended.err
        found = json.loads(ended.out)["artifacts"]
        return [choice["lowering"] for artifact in found for choice in artifact["choices"]]

    assert lowerings() == ["scan", "native", "unrolled"]
    assert lowerings("--expect", "1x100") == ["native", "native", "unrolled"]
    assert lowerings("--expect", "1x9", "--expect", "stream=64x9") == ["native", "scan", "unrolled"]


def test_an_expectation_that_cannot_be_is_refused(command, small_keras, tmp_path):
    words = ("export", small_keras, "-o", tmp_path / "b", "--expect")
    command(*words, "3").refused(2, "--expect 3: expected BATCHxTIME")
    command(*words, "3x1", "--lowering", "scan").refused(2, "nothing is left to it")
    command(*words, "3x1", "--to", "tflite").refused(2, "--expect is of ONNX")
    command(*words, "stream=3x1", "--state", "reset").refused(2, "this export has no 'stream'")
