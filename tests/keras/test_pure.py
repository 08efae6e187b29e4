"""Models that answer differently from call to call are refused, with the operation's place."""

import keras
import pytest
import tensorflow as tf

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras.signature import signature_of
from rnn_deploy.keras.tracing import trace_markers
from tests.support.errors import raises

LAYERS = keras.layers


class Noisy(LAYERS.Layer):
    """Draws from a seed that it keeps, as Keras' own layers do."""

    def __init__(self, **options):
        super().__init__(**options)
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x), seed=self.seeds)


class Counting(LAYERS.Layer):
    """Counts its calls."""

    def build(self, shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.calls.assign_add(1.0)
        return x * self.calls


class NoisyCell(LAYERS.Layer):
    """A cell with noise in its state."""

    state_size = output_size = 3

    def call(self, x, states):
        h = x + states[0] + tf.random.uniform(tf.shape(x), dtype=x.dtype)
        return h, [h]


class DropsAlways(keras.Model):
    """Dropout that does not ask whether this is training."""

    def __init__(self):
        super().__init__(name="drops")
        self.rnn, self.drop = LAYERS.GRU(4), LAYERS.Dropout(0.5)

    def call(self, x):
        return self.drop(self.rnn(x), training=True)


def traced(model):
    return trace_markers(model, signature_of(model))


@pytest.mark.parametrize(
    ("layer", "code"),
    [
        (lambda: Noisy(name="odd"), "E-MODEL-RANDOM"),
        (lambda: Counting(name="odd"), "E-MODEL-WRITES"),
        (
            lambda: LAYERS.Lambda(lambda x: x + tf.random.normal(tf.shape(x)), name="odd"),
            "E-MODEL-RANDOM",
        ),
        (
            lambda: LAYERS.Lambda(
                lambda x: tf.while_loop(
                    lambda i, y: i < 2,
                    lambda i, y: (i + 1, y + tf.random.uniform(tf.shape(y))),
                    (0, x),
                    shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, 4])),
                )[1],
                output_shape=(4,),
                name="odd",
            ),
            "E-MODEL-RANDOM",
        ),
    ],
)
def test_noise_and_counters_are_refused(layer, code):
    x = keras.Input((None, 3), name="x")
    model = keras.Model(x, layer()(LAYERS.GRU(4)(x)), name="mine")
    with raises(UnsupportedModelError, code, "model 'mine'"):
        traced(model)


def test_noise_within_a_cell_is_refused():
    x = keras.Input((None, 3), name="x")
    model = keras.Model(x, LAYERS.RNN(NoisyCell(), name="rnn")(x))
    with raises(UnsupportedModelError, "E-MODEL-RANDOM", "'rnn'", "NoisyCell"):
        traced(model)


def test_dropout_that_is_always_on_is_refused():
    model = DropsAlways()
    model(keras.Input((None, 3)))
    with raises(UnsupportedModelError, "E-MODEL-DROPOUT", "dropout", "--dropout off"):
        traced(model)


def test_what_is_for_training_alone_is_not():
    x = keras.Input((None, 3), name="x")
    y = LAYERS.GRU(4, dropout=0.5, recurrent_dropout=0.5)(LAYERS.GaussianNoise(1.0)(x))
    traced(keras.Model(x, LAYERS.BatchNormalization()(LAYERS.Dropout(0.5)(y))))


class Doubled(keras.Model):
    """Made of a graph of layers, and called as something else."""

    def __init__(self, function):
        x = keras.Input((None, 3), name="x")
        super().__init__(x, LAYERS.GRU(4, name="y")(x), name="doubled")
        self.function = function

    def call(self, x, training=None, mask=None):
        return self.function(super().call(x, training=training, mask=mask))


def test_outputs_that_the_graph_of_layers_does_not_have_are_refused():
    model = Doubled(lambda y: [y, 2 * y])
    with raises(UnsupportedModelError, "E-MODEL-OUTPUT-COUNT", "2 outputs", "1 (y)"):
        traced(model)


def test_an_output_of_unknown_rank_is_refused():
    x = keras.Input((None, 3), name="x")
    odd = LAYERS.Lambda(
        lambda y: tf.raw_ops.Reshape(tensor=y, shape=tf.unique(tf.cast(y[0], "int32"))[0]),
        output_shape=(None,),
        name="odd",
    )
    model = keras.Model(x, odd(LAYERS.GRU(4)(x)), name="mine")
    with raises(UnsupportedModelError, "E-MODEL-OUTPUT-RANK", "'mine'", "'odd'"):
        traced(model)


def test_what_comes_out_of_a_loop_keeps_its_shape():
    loop = LAYERS.Lambda(
        lambda y: tf.while_loop(lambda i, _: i < 3, lambda i, z: (i + 1, z * 1.5), [0, y])[1],
        name="loop",
    )
    x = keras.Input((None, 3), name="x")
    model = keras.Model(x, loop(LAYERS.GRU(4, return_sequences=True)(x)))
    (shape,) = traced(model).output_shapes
    assert shape == [None, None, 4]
