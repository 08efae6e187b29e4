"""Quantised matrices: what is stored, and models that compute with it."""

import keras
import numpy as np
import pytest

from rnn_deploy.c.format import FLOAT16, INT8_WEIGHTS
from rnn_deploy.c.storage import FLOAT32, stored
from rnn_deploy.errors import UnsupportedModelError
from tests.support.c_compilers import needed
from tests.support.c_models import error_of, planned, sources_of
from tests.support.errors import raises
from tests.support.models import randomised

L = keras.layers
RNG = np.random.default_rng(4)
MATRIX = (RNG.standard_normal((5, 7)) * 10.0 ** RNG.integers(-3, 2, (5, 1))).astype(np.float32)


def test_halves_keep_eleven_bits_whatever_the_size_of_the_weights():
    for size in (1e-30, 1e-6, 1.0, 1e6):
        value = MATRIX * np.float32(size)
        restored = stored("w", value, FLOAT16).restored()
        large = np.abs(value) > np.abs(value).max() * 2.0**-28
        assert large.any()
        np.testing.assert_allclose(restored[large], value[large], rtol=2.0**-11)
        np.testing.assert_allclose(restored, value, atol=np.abs(value).max() * 2.0**-28, rtol=1e-3)


def test_integers_are_within_half_a_step_of_their_row():
    kept = stored("w", MATRIX, INT8_WEIGHTS)
    steps = np.abs(MATRIX).max(axis=1, keepdims=True) / 127
    assert (np.abs(kept.restored() - MATRIX) <= 0.5001 * steps).all()
    assert np.abs(kept.numbers).max() == 127


@pytest.mark.parametrize("storage", [FLOAT32, FLOAT16, INT8_WEIGHTS])
def test_zeros_and_empty_rows_stay_zero(storage):
    value = MATRIX.copy()
    value[2], value[3, 1] = 0, 0
    restored = stored("w", value, storage).restored()
    assert (restored[value == 0] == 0).all()
    assert np.isfinite(restored).all()


def test_weights_beyond_half_floats_are_refused():
    with raises(UnsupportedModelError, "E-MODEL-WEIGHT-RANGE", "kernel", "--quantize"):
        stored("kernel", MATRIX * np.float32(1e12), FLOAT16)


def _model():
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = L.Embedding(9, 6, name="table")(ids)
    x = L.Conv1D(5, 3, padding="causal", name="conv")(x)
    x = L.SimpleRNN(9, return_sequences=True, name="simple")(x)
    x = L.GRU(10, return_sequences=True, name="gru")(x)
    x = L.LSTM(7, return_sequences=True, name="lstm")(x)
    return randomised(keras.Model(ids, L.Dense(3, name="y")(x), name="model"), scale=0.4)


def _with_restored_weights(model, storage):
    """The model that the C code computes: its matrices are those that were stored."""
    other = keras.models.clone_model(model)
    values = []
    for weight in model.weights:
        value = np.asarray(weight)
        if value.ndim == 2 and "bias" not in weight.path:
            value = stored(weight.path, value, storage).restored()
        elif value.ndim == 3:
            value = np.stack([stored(weight.path, tap, storage).restored() for tap in value])
        values.append(value)
    other.set_weights(values)
    return other


@needed("cc")
@pytest.mark.parametrize(("storage", "part"), [(FLOAT16, 0.6), (INT8_WEIGHTS, 0.45)])
def test_the_code_computes_with_the_weights_that_are_stored(storage, part):
    plan = planned(_model())
    assert error_of(plan, storage=storage, model=_with_restored_weights(plan.model, storage)) < 2e-6
    assert error_of(plan, storage=storage) > 1e-5  # the original's weights are others
    plain, small = sources_of(plan), sources_of(plan, storage)
    assert small.float_bytes == plain.details["weight_bytes"]
    assert small.details["weight_bytes"] < part * small.float_bytes


@needed("cc")
@pytest.mark.parametrize(
    ("storage", "right", "wrong"),
    [
        (INT8_WEIGHTS, "x[i + 1] * scales[i + 1]", "x[i + 1] * scales[i]"),
        (INT8_WEIGHTS, "scales[row] *", "scales[0] *"),
        (FLOAT16, "0x8000u", "0x0000u"),
    ],
)
def test_a_planted_fault_is_seen(storage, right, wrong):
    plan = planned(_model())
    seen = []

    def change(name, text):
        seen.append(right in text)
        return text.replace(right, wrong)

    model = _with_restored_weights(plan.model, storage)
    assert error_of(plan, storage=storage, change=change, model=model) > 1e-4
    assert any(seen)
