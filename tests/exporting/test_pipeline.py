"""The bundle that an export leaves: the same bytes each time, samples, refusals, full disks."""

import hashlib

import keras
import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.bundle import read_cases
from rnn_deploy.errors import InputError
from rnn_deploy.exporting import cases, writing
from rnn_deploy.exporting.pipeline import export
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.verifying import verify
from rnn_deploy.verifying.judge.checks import BASIC
from tests.support.errors import raises
from tests.support.models import LONG, randomised, small_model

layers = keras.layers
TIGHT = 2e-6


def _x(name="x", time=None, width=3):
    return keras.Input((time, width), name=name)


def _backwards():
    x = _x()
    rnn = layers.SimpleRNN(
        4, go_backwards=True, return_sequences=True, return_state=True, use_bias=False, name="rnn"
    )
    return keras.Model(x, list(rnn(x)))


def _stateful():
    x = keras.Input(batch_shape=(2, None, 3), name="x")
    return keras.Model(x, layers.SimpleRNN(4, stateful=True, name="rnn")(x))


def sha256s(root):
    """Of every file by its path within the bundle."""
    files = sorted(place for place in root.rglob("*") if place.is_file())
    return {
        place.relative_to(root).as_posix(): hashlib.sha256(place.read_bytes()).hexdigest()
        for place in files
    }


def test_the_same_model_gives_the_same_bytes(small_keras, small_bundle, tmp_path):
    again = export(small_keras, tmp_path / "again", ExportOptions(long=LONG))
    first, second = sha256s(small_bundle), sha256s(again.root)
    assert first == second
    assert {name for name in first if "/" not in name} == {
        "manifest.json", "golden.npz", "proof.npz", "model.tflite", "sequence.onnx", "stream.onnx",
        "step.onnx",
    }  # fmt: skip


def test_another_model_gives_other_bytes(small_bundle, tmp_path):
    first = sha256s(small_bundle)
    second = sha256s(export(small_model(seed=1), tmp_path / "other", ExportOptions(long=LONG)).root)
    assert all(first[name] != second[name] for name in first if "/input_" not in name)


def test_another_seed_gives_other_golden_vectors_only(small_keras, tmp_path):
    options = [ExportOptions(("onnx",), seed=seed, long=LONG) for seed in (0, 1)]
    first, second = (sha256s(export(small_keras, tmp_path / str(o.seed), o).root) for o in options)
    assert {n for n in first if first[n] != second[n] and "/" not in n} == {
        "golden.npz", "proof.npz", "manifest.json"
    }  # fmt: skip


def wide_model(units=300):
    x = keras.Input((None, 8), name="x")
    return randomised(keras.Model(x, layers.SimpleRNN(units, name="rnn")(x)), scale=0.05)


def test_large_weights_are_stored_once_for_both_onnx_files(tmp_path):
    bundle = export(
        wide_model(), tmp_path / "wide", ExportOptions("onnx", lowering="native", long=LONG)
    )
    recurrent = 300 * 300 * 4
    sizes = {record.path: record.size for record in bundle.manifest.files}
    assert recurrent <= sizes["weights.bin"] < 1.2 * recurrent
    assert sizes["sequence.onnx"] < 20_000
    assert sizes["stream.onnx"] < 20_000
    assert verify(bundle).passed


def test_an_altered_weights_file_is_refused_before_a_runtime_sees_it(tmp_path):
    bundle = export(wide_model(), tmp_path / "wide", ExportOptions(("onnx",), long=LONG))
    place = bundle.root / "weights.bin"
    content = bytearray(place.read_bytes())
    content[1000] ^= 1
    place.write_bytes(content)
    with raises(InputError, "E-BUNDLE-ALTERED", "weights.bin"):
        rnn_deploy.load(bundle, "ort-cpu")


@pytest.mark.parametrize("lowering", ["scan", "unrolled", "native"])
def test_each_lowering_of_a_fixed_length_computes_the_same(lowering, tmp_path):
    options = ExportOptions("onnx", lowering=lowering, time=4)
    model = randomised(keras.models.clone_model(_backwards()), scale=0.4)
    report = verify(export(model, tmp_path / "bundle", options), checks=BASIC)
    assert report.passed
    assert {c.check for c in report.comparisons} == {"sequence", "states"}
    assert max(c.max_abs for c in report.comparisons) <= TIGHT


def test_leftover_state_of_a_stateful_model_does_not_enter(tmp_path):
    model = randomised(_stateful(), scale=0.4)
    x = np.random.default_rng(5).standard_normal((2, 3, 3)).astype(np.float32)
    fresh = model(x).numpy()
    left = model.layers[1].states[0].numpy().copy()
    assert np.abs(left).max() > 0.01
    bundle = export(model, tmp_path / "bundle")
    assert np.array_equal(model.layers[1].states[0].numpy(), left)
    assert any("'rnn' is stateful" in note for note in bundle.manifest.notes)
    for runtime in ("ort-cpu", "litert"):
        found = rnn_deploy.load(bundle, runtime).predict(x)
        np.testing.assert_allclose(found, fresh, rtol=0, atol=TIGHT)


def test_samples_become_a_golden_vector(tmp_path):
    samples = {"x": np.random.default_rng(6).standard_normal((2, 9, 3)).astype(np.float32)}
    bundle = export(
        small_model(), tmp_path / "b", ExportOptions(("onnx",), samples=samples, long=LONG)
    )
    cases = {case.name: case for case in read_cases(bundle.root / bundle.manifest.golden)}
    assert np.array_equal(cases["samples"].feeds["x"], samples["x"])
    assert len(cases) > 1
    assert verify(bundle).passed


@pytest.mark.parametrize(
    ("samples", "code", "name"),
    [
        ({"z": np.zeros((1, 2, 3), np.float32)}, "E-INPUT-UNKNOWN", "['z']"),
        ({}, "E-INPUT-MISSING", "['x']"),
        ({"x": np.zeros((1, 2, 4), np.float32)}, "E-INPUT-SHAPE", "float32(1, 2, 4)"),
        ({"x": np.zeros((1, 2, 3))}, "E-INPUT-DTYPE", "float64(1, 2, 3)"),
        ({"x": np.zeros((1, 0, 3), np.float32)}, "E-INPUT-SHAPE", "float32(1, 0, 3)"),
    ],
)
def test_samples_that_do_not_fit_are_refused(samples, code, name, tmp_path):
    with raises(InputError, code, name):
        export(small_model(), tmp_path / "b", ExportOptions(samples=samples))
    assert list(tmp_path.iterdir()) == []


def test_integers_that_are_no_tokens_need_samples(tmp_path):
    x = keras.Input((None, 3), dtype="int32", name="counts")
    model = randomised(keras.Model(x, layers.SimpleRNN(4, name="rnn")(x)))
    with raises(InputError, "E-EXPORT-NEEDS-SAMPLES", "'counts'", "--samples"):
        export(model, tmp_path / "b")
    counts = {"counts": np.arange(12, dtype=np.int32).reshape(2, 2, 3)}
    bundle = export(model, tmp_path / "b", ExportOptions(samples=counts))
    report = verify(bundle)
    assert report.passed
    cases = {c.case for c in report.comparisons if c.check != "sizes"}
    assert cases == {"samples", "samples-steps", "followed"}


def test_an_output_that_exists_stays_as_it_was(tmp_path):
    place = tmp_path / "there"
    place.mkdir()
    (place / "mine.txt").write_text("keep")
    with raises(InputError, "E-OPTION-EXISTS", "there", "--force"):
        export(small_model(), place)
    with raises(InputError, "E-OPTION-NOT-REPLACED", "there"):
        export(small_model(), place, ExportOptions(("onnx",)), force=True)
    assert [p.name for p in place.iterdir()] == ["mine.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["there"]


def test_a_full_disk_leaves_the_old_bundle(small_bundle, monkeypatch):
    before = sha256s(small_bundle)

    def full(place, cases, source):
        place.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(place))

    monkeypatch.setattr(writing, "write_cases", full)
    with pytest.raises(OSError, match="No space left"):
        export(small_model(seed=3), small_bundle, ExportOptions(("onnx",)), force=True)
    assert sha256s(small_bundle) == before
    assert [p.name for p in small_bundle.parent.iterdir()] == [small_bundle.name]


def test_a_reference_that_disturbs_the_model_is_noticed(small_keras, tmp_path, monkeypatch):
    call_flat = cases.call_flat
    monkeypatch.setattr(cases, "call_flat", lambda model, x: [2 * y for y in call_flat(model, x)])
    with raises(rnn_deploy.RnnDeployError, "E-EXPORT-CHANGED-MODEL", "'y'"):
        export(small_keras, tmp_path / "b", ExportOptions(("onnx",)))
    assert list(tmp_path.iterdir()) == []


class BySize(layers.Layer):
    """Goes by the number of steps, which is known where TensorFlow runs eagerly, and not traced."""

    def call(self, x):
        return x * float(x.shape[1] or 1)


def test_a_layer_that_goes_by_what_is_not_known_when_traced_is_noticed(tmp_path):
    x = _x()
    model = randomised(keras.Model(x, layers.GRU(4, name="y")(BySize()(x))))
    with raises(rnn_deploy.RnnDeployError, "E-EXPORT-CHANGED-MODEL", "'y'"):
        export(model, tmp_path / "b", ExportOptions(("onnx",)))


def test_a_model_that_needs_two_steps_at_least_is_exported(tmp_path):
    x = _x()
    y = layers.SimpleRNN(4, return_sequences=True, name="rnn")(x)
    model = randomised(keras.Model(x, layers.MaxPooling1D(2)(y)))
    bundle = export(model, tmp_path / "b", ExportOptions(("onnx",)))
    assert verify(bundle).passed
    lengths = {case.feeds["x"].shape[1] for case in read_cases(bundle.root / "golden.npz")}
    assert lengths == {3, 5, 6, 7, 16}
    assert not bundle.manifest.entry("stream").chunked.ok


def test_samples_the_model_does_not_take_are_refused(tmp_path):
    x = _x()
    y = layers.SimpleRNN(4, return_sequences=True, name="rnn")(x)
    model = randomised(keras.Model(x, layers.MaxPooling1D(2)(y)))
    options = ExportOptions(("onnx",), samples={"x": np.ones((1, 1, 3), np.float32)})
    with raises(InputError, "E-INPUT-REJECTED"):
        export(model, tmp_path / "b", options)


def test_a_layer_nothing_depends_on_is_left_out_and_said(tmp_path):
    x = _x()
    used = layers.SimpleRNN(4, name="used")(x)
    dead = layers.SimpleRNN(4, name="dead")(x)
    inner = keras.Model(x, [dead, used])
    x = _x()
    bundle = export(randomised(keras.Model(x, inner(x)[1])), tmp_path / "b")
    assert bundle.manifest.notes == ("layer 'dead' is left out: no output depends on it",)
    assert [s.layer for s in bundle.manifest.entry("stream").states] == ["used"]
    assert {c.layer for a in bundle.manifest.artifacts for c in a.choices} == {"used"}
    assert verify(bundle).passed


@pytest.mark.parametrize(("requested", "steps"), [(None, 1000), (40, 40)])
def test_a_large_model_gets_a_shorter_long_sequence(requested, steps, tmp_path, monkeypatch):
    model = small_model()
    monkeypatch.setattr(cases, "READ", 5 * model.count_params())
    bundle = export(model, tmp_path / "b", ExportOptions(("onnx",), long=requested))
    found = read_cases(bundle.checked(bundle.manifest.golden), special=True)
    assert [case.name for case in found if case.check == "long"] == [f"n1t{steps}"]
    said = [note for note in bundle.manifest.notes if "--long 10000 makes it longer" in note]
    assert len(said) == (requested is None)
