"""Padding gives what separate runs give, or it is not used."""

import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.inference.rows import run_rows
from rnn_deploy.scoring.padding import Padding, rounded
from rnn_deploy.spec import SEQUENCE, STREAM
from tests.support.models import randomised
from tests.support.scoring import sequences


@pytest.mark.parametrize("length", [*range(1, 70), 1000, 4097])
def test_a_length_grows_by_an_eighth_at_most(length):
    assert length <= rounded(length) <= length * 1.125
    assert rounded(rounded(length)) == rounded(length)


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    """A bundle of a model that masks, with outputs over time and states."""
    import keras

    x = inputs = keras.Input((None, 3), name="x")
    x = keras.layers.Masking(0.0)(x)
    x = keras.layers.LSTM(5, return_sequences=True, name="first")(x)
    outputs = [keras.layers.GRU(4, name="last")(x), keras.layers.Dense(2, name="steps")(x)]
    model = randomised(keras.Model(inputs, outputs, name="masked"))
    return rnn_deploy.export(model, tmp_path_factory.mktemp("b") / "masked", to="onnx", long=0)


class Counted:
    """Notes the shapes of calls; a broken model sees the padding."""

    def __init__(self, runner, broken=False):
        self._runner, self._broken = runner, broken
        self.shapes = []

    def __call__(self, feeds):
        self.shapes.append(feeds["x"].shape)
        results = dict(self._runner.run(feeds))
        if self._broken:
            name = self._runner.entry.outputs[0].name
            results[name] = results[name] + feeds["x"].shape[1] * 0.1
        return results


@pytest.mark.parametrize("entry", [SEQUENCE, STREAM])
def test_where_the_model_masks_fewer_batches_give_the_same(masked, entry):
    runner = rnn_deploy.load(masked, "ort-cpu").runner(entry)
    feeds = {"x": sequences(60, most=80)}
    apart, padded = Counted(runner), Counted(runner)
    wanted = run_rows(runner.entry, feeds, apart)
    found = Padding(runner.entry).run(feeds, padded)
    assert len(padded.shapes) < 0.7 * len(apart.shapes)
    assert found.keys() == wanted.keys()
    for name, rows in wanted.items():
        for one, other in zip(found[name], rows, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6, err_msg=name)


def test_a_layer_that_sees_padding_is_found_and_no_sequence_is_padded(masked):
    runner = rnn_deploy.load(masked, "ort-cpu").runner()
    feeds = {"x": sequences(30, most=80)}
    call = Counted(runner, broken=True)
    wanted = run_rows(runner.entry, feeds, call)
    found = Padding(runner.entry).run(feeds, call)
    for name, rows in wanted.items():
        for one, other in zip(found[name], rows, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_model_without_masks_is_never_padded(bundle):
    runner = rnn_deploy.load(bundle, "ort-cpu").runner()
    call = Counted(runner)
    feeds = {"x": sequences(30, most=80)}
    Padding(runner.entry).run(feeds, call)
    assert {shape[1] for shape in call.shapes} == {len(row) for row in feeds["x"]}
