"""One step of a cell by its code alone: what it computes, what it keeps, what it refuses."""

import keras
import numpy as np
import pytest

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras.precision import computing_in
from rnn_deploy.keras.step import state_shapes, traced_step
from rnn_deploy.keras.tensorflow import tf
from tests.support.errors import raises

layers = keras.layers


class Two(layers.Layer):
    """Two states of unlike sizes, swapped in meaning and not in size."""

    state_size = (2, 3)

    def __init__(self, **options):
        super().__init__(**options)
        self.drop = layers.Dropout(0.9)

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 3), initializer="random_normal")

    def call(self, x, states, training=True):
        a, b = states
        new = self.drop(x @ self.kernel, training=training) + b
        return new[:, :1], [a + new[:, :2], new]


def built(cell, width=4):
    cell.build((None, width))
    return cell


def test_a_step_computes_what_the_cell_does_without_dropout():
    cell = built(Two())
    step = traced_step(cell, "l", (4,))
    rng = np.random.default_rng(0)
    x, a, b = (rng.standard_normal((5, n)).astype(np.float32) for n in (4, 2, 3))
    output, first, second = (t.numpy() for t in step.function(*map(tf.constant, (x, a, b))))
    wanted = x @ cell.kernel.numpy() + b
    assert np.allclose(second, wanted, atol=1e-6)
    assert np.allclose(first, a + wanted[:, :2], atol=1e-6)
    assert np.allclose(output, wanted[:, :1], atol=1e-6)
    assert (step.output_shape, step.state_shapes, step.output_is_state) == (
        (1,),
        ((2,), (3,)),
        False,
    )


def test_a_step_knows_where_its_output_is_its_state():
    cell = built(layers.LSTMCell(3))
    assert traced_step(cell, "l", (4,)).output_is_state


def test_a_step_is_in_what_the_model_computes_in():
    x = keras.Input((None, 4))
    model = keras.Model(x, layers.RNN(layers.GRUCell(3), name="l")(x))
    with computing_in(model, "float64"):
        step = traced_step(model.get_layer("l").cell, "l", (4,))
    assert step.dtype == "float64"
    assert {tensor.dtype for tensor in step.function.outputs} == {tf.float64}


def test_the_shapes_of_states_are_those_the_cell_begins_with():
    assert state_shapes(Two()) == ((2,), (3,))
    conv = layers.ConvLSTM2D(5, 3, padding="same")
    conv.build((None, None, 7, 6, 2))
    assert state_shapes(conv.cell) == ((7, 6, 5), (7, 6, 5))


class Raises(Two):
    def call(self, x, states):
        raise ValueError("needs the weather\nand more")


class Grows(Two):
    def call(self, x, states):
        a, b = states
        return a, [keras.ops.concatenate([a, a], axis=-1), b]


@pytest.mark.parametrize(
    ("cell", "code", "name"),
    [
        (Raises, "E-MODEL-STEP", "needs the weather"),
        (Grows, "E-MODEL-STATE-SHAPE", "Grows"),
    ],
)
def test_a_step_that_cannot_stand_alone_is_refused(cell, code, name):
    with raises(UnsupportedModelError, code, "layer 'l'", name) as raised:
        traced_step(built(cell()), "l", (4,))
    assert "\n" not in str(raised.value)
