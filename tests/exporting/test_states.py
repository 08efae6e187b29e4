"""--state: what becomes of recurrent states, and a state that the model holds."""

import keras
import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.bundle import open_bundle, read_cases
from rnn_deploy.errors import InputError, UnsupportedModelError
from tests.support.errors import raises
from tests.support.models import LONG, randomised, small_model

LAYERS = keras.layers
X = np.random.default_rng(5).standard_normal((2, 6, 3)).astype(np.float32)


def stateful_model():
    """Two unlike stateful layers that hold a state: they have run over X."""
    x = keras.Input(batch_shape=(2, None, 3), name="x")
    y = LAYERS.LSTM(4, stateful=True, return_sequences=True, name="first")(x)
    y = LAYERS.GRU(5, stateful=True, return_sequences=True, name="second")(y)
    model = randomised(keras.Model(x, y, name="held"))
    model.predict(X, verbose=0)
    return model


def held(model):
    return [np.array(s) for name in ("first", "second") for s in model.get_layer(name).states]


@pytest.mark.parametrize("runtime", ["ort-cpu", "litert", "openvino-cpu"])
@pytest.mark.parametrize("lowering", ["auto", "scan"])
def test_a_kept_state_is_where_every_call_starts(tmp_path, runtime, lowering):
    model = stateful_model()
    before = held(model)
    assert all(np.abs(state).max() > 0.01 for state in before)
    bundle = rnn_deploy.export(model, tmp_path / "b", state="keep", lowering=lowering, long=LONG)
    assert [entry.name for entry in bundle.manifest.entries] == ["sequence"]
    assert bundle.manifest.state == "keep"
    assert "starts from the states the model held" in bundle.manifest.notes[0]
    for after, state in zip(held(model), before, strict=True):
        np.testing.assert_array_equal(after, state)
    exported = rnn_deploy.load(bundle, runtime)
    first, second = exported.predict(X), exported.predict(X)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, model.predict(X, verbose=0), atol=2e-6)
    report = rnn_deploy.verify(bundle, [runtime])
    assert report.passed, report.verdict


def test_a_kept_state_that_was_lost_would_show(tmp_path):
    model = stateful_model()
    kept = rnn_deploy.export(model, tmp_path / "kept", state="keep", long=0)
    reset = rnn_deploy.export(model, tmp_path / "reset", state="reset", long=0)
    (case, *_) = read_cases(kept.root / kept.manifest.golden)
    lost = rnn_deploy.load(reset).predict(case.feeds["x"])
    assert np.abs(lost - case.truth["second"]).max() > 1e-2


@pytest.mark.parametrize("state", ["input", "reset"])
def test_without_keep_a_sequence_starts_from_zero(tmp_path, state):
    model = stateful_model()
    bundle = rnn_deploy.export(model, tmp_path / "b", state=state, long=LONG)
    model.reset_states() if hasattr(model, "reset_states") else [
        model.get_layer(name).reset_state() for name in ("first", "second")
    ]
    expected = model.predict(X, verbose=0)
    np.testing.assert_allclose(rnn_deploy.load(bundle).predict(X), expected, atol=2e-6)
    assert ("stream" in {entry.name for entry in bundle.manifest.entries}) == (state == "input")
    assert rnn_deploy.verify(bundle).passed


def test_a_state_that_is_left_out_is_reported(tmp_path):
    notes = rnn_deploy.export(stateful_model(), tmp_path / "b", to=("onnx",), long=0).manifest.notes
    assert [note.split("'")[1] for note in notes] == ["first", "second"]
    assert all("the state it holds now is left out (--state keep" in note for note in notes)


def test_the_choice_is_read_back_from_the_manifest(tmp_path):
    rnn_deploy.export(small_model(), tmp_path / "b", state="reset", to=("onnx",))
    bundle = open_bundle(tmp_path / "b")
    assert bundle.manifest.state == "reset"
    assert bundle.manifest.notes == (
        "no stream entry point, as requested: each call starts from zero states",
    )


def test_what_cannot_be_kept_is_refused(tmp_path):
    with raises(InputError, "E-EXPORT-STATE-KEEP", "'small'"):
        rnn_deploy.export(small_model(), tmp_path / "b", state="keep")
    with raises(InputError, "E-EXPORT-CHOICE", "--state freeze", "input, reset, keep"):
        rnn_deploy.export(small_model(), tmp_path / "b", state="freeze")
    small_model().export(tmp_path / "saved", verbose=False)
    with raises(UnsupportedModelError, "E-SOURCE-SAVED-MODEL-OPTION", "--state"):
        rnn_deploy.export(tmp_path / "saved", tmp_path / "b", state="reset", to=("onnx",))
