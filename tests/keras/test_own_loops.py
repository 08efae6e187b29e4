"""A layer with a loop of its own: named, with the reason and a way out, in both formats."""

import keras
import pytest

import rnn_deploy
from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras.own_loops import collects_in_loop, layer_at
from tests.support.errors import raises

ops, layers = keras.ops, keras.layers


class Ema(layers.Layer):
    def call(self, x):
        def step(carry, value):
            carry = 0.9 * carry + 0.1 * value
            return carry, carry

        steps = ops.transpose(x, (1, 0, 2))
        return ops.transpose(ops.scan(step, ops.zeros_like(steps[0]), steps)[1], (1, 0, 2))


@pytest.mark.parametrize("to", ["onnx", "tflite"])
def test_a_scan_is_refused_with_the_layer_and_what_to_write_in_its_place(to, tmp_path):
    x = keras.Input((None, 3), name="x")
    model = keras.Model(x, layers.GRU(4, name="rnn")(Ema(name="mean")(x)), name="mine")
    names = ("layer 'mean'", "keras.ops.scan", "keras.layers.RNN(cell)")
    with raises(UnsupportedModelError, "E-MODEL-OWN-LOOP", *names) as caught:
        rnn_deploy.export(model, tmp_path / "b", to=to, long=0)
    assert "--to" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("place", "layer"),
    [
        ("mean/TensorArrayV2_2", "mean"),
        ("functional_1/mean_1/while/body/_1/functional_1/mean_1/while/x", "mean"),
        ("mean_2/while", "mean_2"),
        ("other/while", None),
    ],
)
def test_the_layer_is_one_of_the_scopes(place, layer):
    assert layer_at(place, {"mean", "mean_2"}) == layer


def test_only_collected_values_belong_to_a_loop():
    assert collects_in_loop("TensorListReserve")
    assert not collects_in_loop("Digamma")
