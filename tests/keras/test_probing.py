"""Recurrent layers whose rows are not the model's sequences: another axis is in the batch."""

import keras
import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.exporting.plan import plan_of
from rnn_deploy.formats.options import ExportOptions
from tests.support.models import randomised

layers, ops = keras.layers, keras.ops
BANDS = 6


class Fold(layers.Layer):
    def __init__(self, rnn, over, **options):
        super().__init__(**options)
        self.rnn, self.over = rnn, over

    def call(self, x):
        time = ops.shape(x)[1]
        if self.over == "time":
            y = self.rnn(ops.reshape(x, (-1, BANDS, 4)))
            return ops.reshape(y, (-1, time, BANDS, y.shape[-1]))
        y = self.rnn(ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, time, 4)))
        return ops.transpose(ops.reshape(y, (-1, BANDS, time, y.shape[-1])), (0, 2, 1, 3))


def folded(over, batch=None, time=None, rnn=None):
    rnn = rnn or layers.LSTM(3, return_sequences=True, name="rnn")
    x = keras.Input((time, BANDS, 4), batch_size=batch, name="x")
    return randomised(keras.Model(x, Fold(rnn, over)(x)))


@pytest.mark.parametrize("batch", [None, 1])
@pytest.mark.parametrize("time", [None, 5])
def test_rows_that_are_steps_carry_no_state(batch, time):
    plan = plan_of(folded("time", batch, time), ExportOptions())
    assert plan.stream is None
    # Fixed steps of an image are no axis that is opened, and look like any other axis.
    why = "recurrent layers run anew within each step" if time is None else "5 rows"
    assert any("no stream entry point" in note and why in note for note in plan.notes)


@pytest.mark.parametrize("batch", [None, 1])
@pytest.mark.parametrize("time", [None, 5])
@pytest.mark.parametrize("both", [False, True])
def test_rows_of_another_axis_give_no_stream_and_the_reason(batch, time, both):
    rnn = layers.GRU(3, return_sequences=True, name="rnn")
    rnn = layers.Bidirectional(rnn) if both else rnn
    plan = plan_of(folded("bands", batch, time, rnn), ExportOptions())
    assert plan.stream is None
    (note,) = (note for note in plan.notes if "stream" in note)
    assert f"{BANDS} rows" in note
    assert "rnn'" in note


def test_a_layer_beside_one_that_is_folded_over_time_keeps_its_stream(tmp_path):
    x = keras.Input((None, BANDS, 4), name="x")
    rnn = layers.LSTM(3, return_sequences=True, name="within")
    bands = layers.TimeDistributed(layers.Flatten())(Fold(rnn, "time")(x))
    y = layers.GRU(5, return_sequences=True, name="along")(bands)
    bundle = rnn_deploy.export(randomised(keras.Model(x, y)), tmp_path / "b", long=0)
    stream = bundle.manifest.entry("stream")
    assert [state.layer for state in stream.states] == ["along"]
    assert stream.chunked.ok
    assert rnn_deploy.verify(bundle).passed


def test_what_is_folded_is_exported_right(tmp_path):
    model = folded("bands", 1)
    bundle = rnn_deploy.export(model, tmp_path / "b", long=0)
    x = np.random.default_rng(4).standard_normal((1, 7, BANDS, 4)).astype("f")
    for runtime in ("ort-cpu", "litert"):
        found = rnn_deploy.load(bundle, runtime).predict(x)
        np.testing.assert_allclose(found, np.asarray(model(x)), atol=2e-6)
