"""`rnn-deploy export`: what it writes and says, and everything it refuses."""

import json

import keras
import numpy as np
import pytest

from rnn_deploy.bundle import open_bundle, read_cases
from rnn_deploy.bundle.store import MANIFEST
from rnn_deploy.exporting import writing
from rnn_deploy.formats.registry import all_formats, all_options, quantize_modes
from rnn_deploy.onnx.format import LOWERINGS as ONNX
from rnn_deploy.onnx.profiles import PROFILES
from rnn_deploy.tflite.format import LOWERINGS as TFLITE
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


def test_a_bundle_is_written_and_what_was_done_is_reported(command, small_keras, tmp_path):
    ended = command("export", small_keras, "-o", tmp_path / "a place" / "b", "--to", "onnx")
    assert (ended.code, ended.out) == (0, "")
    bundle = open_bundle(tmp_path / "a place" / "b")
    assert {a.format for a in bundle.manifest.artifacts} == {"onnx"}
    for record in (r for r in bundle.manifest.files if "/" not in r.path):
        assert f"{record.path} {record.size:,} B" in ended.err
    assert "test_data" not in ended.err
    assert "onnx stream: layer 'second' as native (" in ended.err
    assert f"next: rnn-deploy verify '{tmp_path / 'a place' / 'b'}'" in ended.err
    assert [p.name for p in (tmp_path / "a place").iterdir()] == ["b"]


def test_test_data_is_written_on_request(command, small_keras, tmp_path):
    ended = command("export", small_keras, "-o", tmp_path / "b", "--to", "onnx", "--test-data")
    assert ended.code == 0
    assert "test_data/ " in ended.err


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
    ("damage", "code"),
    [
        (None, "E-SOURCE-NOT-FOUND"),
        (lambda content: b"", "E-SOURCE-FORMAT"),
        (lambda content: b"junk" * 50, "E-SOURCE-FORMAT"),
        (_cut, "E-SOURCE-FORMAT"),
        (_flipped, "E-SOURCE-UNREADABLE"),
        (lambda content: b"\x89HDF\r\n\x1a\n" + b"0" * 300, "E-SOURCE-DAMAGED-H5"),
    ],
    ids=["missing", "empty", "junk", "cut", "flipped", "bad hdf5"],
)
@pytest.mark.parametrize("verb", ["export", "inspect"])
def test_what_is_no_model_is_refused(command, snapshot, small_keras, tmp_path, damage, code, verb):
    place = tmp_path / "model.keras"
    if damage is not None:
        place.write_bytes(damage(small_keras.read_bytes()))
    before = snapshot()
    if verb == "inspect" and damage is None:
        code = "E-BUNDLE-NOT-FOUND"
    words = ("-o", tmp_path / "b") if verb == "export" else ()
    command(verb, place, *words).refused(2, "model.keras: ", f"[{code}]")
    assert snapshot() == before


def test_a_folder_that_is_no_saved_model_is_refused(command, tmp_path):
    ended = command("export", tmp_path, "-o", tmp_path / "b")
    ended.refused(2, "E-SOURCE-FORMAT", str(tmp_path), "saved_model.pb")


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
        4, "[E-MODEL-QUANTISED]", "model 'm'", "layer 'odd'", "layer 'odder'", "int8_from_float32"
    )
    assert "'fine'" not in line
    assert snapshot() == before


@pytest.mark.parametrize("verb", ["export", "inspect"])
def test_code_in_a_model_runs_only_when_trusted(command, snapshot, saved, tmp_path, verb):
    doubled = layers.Lambda(lambda t: 2 * t, output_shape=(None, 2), name="own")
    place = saved(layers.SimpleRNN(2, return_sequences=True, name="rnn"), doubled)
    before = snapshot()
    words = ("-o", tmp_path / "b", "--to", "onnx") if verb == "export" else ()
    command(verb, place, *words).refused(4, "E-SOURCE-CODE", "--trust-source")
    assert snapshot() == before
    assert command(verb, place, *words, "--trust-source").code == 0


def test_a_class_that_is_not_here_is_refused(command, tmp_path):
    class Own(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    _model(Own(name="own"), layers.SimpleRNN(2)).save(tmp_path / "m.keras")
    ended = command("export", tmp_path / "m.keras", "-o", tmp_path / "b")
    ended.refused(4, "[E-SOURCE-CLASS]", "'Own'", "--custom")


@pytest.mark.parametrize(
    ("words", "exit_code", "names"),
    [
        (["--lowering", "magic"], 2, ["[E-EXPORT-LOWERING-UNKNOWN]", "magic", "native, scan"]),
        (["--lowering", "unrolled"], 4, ["[E-MODEL-LOWERING]", "'first'", "--time N"]),
        (["--samples", "gone.npz"], 2, ["gone.npz"]),
        (["--target", "openvino"], 2, ["[E-OPTION-RENAMED]", "--profile openvino"]),
        (["--target", "tflite-micro"], 2, ["[E-OPTION-RENAMED]", "--to tflite-micro"]),
        (["--tflite-lowering", "loop"], 2, ["[E-EXPORT-OPTION-UNUSED]", "--to tflite"]),
    ],
)
def test_a_wrong_option_is_refused(
    command, snapshot, small_keras, tmp_path, words, exit_code, names
):
    before = snapshot()
    ended = command("export", small_keras, "-o", tmp_path / "a" / "b", "--to", "onnx", *words)
    ended.refused(exit_code, *names)
    assert snapshot() == before


def test_the_help_lists_formats_profiles_and_lowerings(command):
    text = command("export", "--help").out
    for option in (option for option, _ in all_options().values()):
        assert option.flag in text
    for name in (*all_formats(), *PROFILES, *ONNX, *TFLITE, *quantize_modes()):
        assert name in text
    assert "--target" not in text


@pytest.mark.parametrize(
    ("samples", "names"),
    [
        ({"z": np.ones((2, 6, 3), "f")}, ["[E-INPUT-UNKNOWN]", "['z']", "['x']"]),
        ({"x": np.ones((6, 3), "f")}, ["[E-INPUT-SHAPE]", "'x'", "float32(6, 3)"]),
    ],
)
def test_samples_that_do_not_fit_are_refused(command, small_keras, tmp_path, samples, names):
    np.savez(tmp_path / "s.npz", **samples)
    words = ("-o", tmp_path / "b", "--to", "onnx", "--samples", tmp_path / "s.npz")
    command("export", small_keras, *words).refused(2, *names)
    assert not (tmp_path / "b").exists()


# What is there before is still there


def _somebodys_folder(place):
    place.mkdir()
    (place / "diary.txt").write_text("dear diary")


def _a_bundle(place):
    place.mkdir()
    (place / MANIFEST).write_text("old")


@pytest.mark.parametrize(
    ("make", "force", "code"),
    [
        (_a_bundle, [], "E-OPTION-EXISTS"),
        (_somebodys_folder, [], "E-OPTION-EXISTS"),
        (_somebodys_folder, ["--force"], "E-OPTION-NOT-REPLACED"),
        (lambda place: place.write_text("a letter"), ["--force"], "E-OPTION-NOT-REPLACED"),
    ],
    ids=["bundle", "folder", "folder forced", "file forced"],
)
def test_what_is_there_is_not_replaced(command, snapshot, small_keras, tmp_path, make, force, code):
    make(tmp_path / "b")
    before = snapshot()
    ended = command("export", small_keras, "-o", tmp_path / "b", "--to", "onnx", *force)
    ended.refused(2, f"{tmp_path / 'b'}: ", f"[{code}]")
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
    command(*words, "3").refused(2, "--expect 3", "BATCHxTIME")
    command(*words, "3x1", "--lowering", "scan").refused(2, "[E-EXPORT-EXPECT-UNUSED]")
    command(*words, "3x1", "--to", "tflite").refused(2, "[E-EXPORT-OPTION-UNUSED]", "--expect")
    command(*words, "stream=3x1", "--state", "reset").refused(
        2, "[E-OPTION-SHAPE-ENTRY]", "'stream'"
    )
