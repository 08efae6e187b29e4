"""A Keras layer as a RecurrentLayer, or why not: every reason at once."""

import keras
import numpy as np
import pytest

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.exporting.plan import plan_of
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.keras.reading import ALIASES, activation_name, refusals_of, refuse
from rnn_deploy.keras.tensorflow import tf
from rnn_deploy.numerics.cells import ACTIVATIONS
from rnn_deploy.spec import RecurrentLayer, TracedLayer
from tests.support.models import randomised

layers = keras.layers


def read_layers(model):
    """The layers of a model as they are read."""
    return plan_of(model, ExportOptions()).sequence.trace.layers


def model_of(*stack, time=None):
    x = y = keras.Input((time, 3), name="x")
    for layer in stack:
        y = layer(y)
    return randomised(keras.Model(x, y, name="mine"))


def test_a_layer_is_read_whole():
    layer = layers.SimpleRNN(
        4, activation="relu", go_backwards=True, return_sequences=True, name="rnn"
    )
    (read,) = read_layers(model_of(layer, time=6))
    kernel, recurrent, bias = layer.get_weights()
    assert np.array_equal(read.kernel, kernel)
    assert np.array_equal(read.recurrent_kernel, recurrent)
    assert np.array_equal(read.bias, bias)
    facts = (read.name, read.cell, read.units, read.width, read.activation)
    assert facts == ("rnn", "simple_rnn", 4, 3, "relu")
    assert (read.go_backwards, read.return_sequences, read.steps) == (True, True, 6)
    assert read.initial_state is False
    assert read.roles == ("h",)
    assert (read.masked, read.zero_output_for_mask) == (False, False)


def test_a_gated_layer_is_read_whole():
    options = {"recurrent_activation": "hard_sigmoid", "return_sequences": True}
    gru = layers.GRU(4, reset_after=False, name="gru", **options)
    lstm = layers.LSTM(5, use_bias=False, name="lstm", **options)
    first, second = read_layers(model_of(gru, lstm))
    assert [np.array_equal(a, b) for a, b in zip(
        (first.kernel, first.recurrent_kernel, first.bias), gru.get_weights(), strict=True
    )] == [True] * 3  # fmt: skip
    assert (first.cell, first.recurrent_activation, first.reset_after) == (
        "gru", "hard_sigmoid", False,
    )  # fmt: skip
    assert (second.cell, second.bias, second.roles) == ("lstm", None, ("h", "c"))


def test_a_list_of_cells_is_read_as_a_stack_of_layers():
    cells = [layers.LSTMCell(4), layers.SimpleRNNCell(3)]
    read = read_layers(model_of(layers.RNN(cells, go_backwards=True, name="rnn")))
    assert [layer.name for layer in read] == ["rnn_cell0", "rnn_cell1"]
    assert [layer.go_backwards for layer in read] == [True, False]
    assert [layer.return_sequences for layer in read] == [True, False]
    assert np.array_equal(read[1].kernel, cells[1].get_weights()[0])


def test_a_cell_in_rnn_is_read_like_the_layer():
    cell = layers.SimpleRNNCell(4, use_bias=False, activation="sigmoid")
    (read,) = read_layers(model_of(layers.RNN(cell, name="rnn")))
    assert (read.bias, read.activation, read.return_sequences) == (None, "sigmoid", False)
    assert read.steps is None
    assert np.array_equal(read.kernel, cell.get_weights()[0])


def test_what_was_read_does_not_change_with_the_model():
    layer = layers.SimpleRNN(4, name="rnn")
    model = model_of(layer)
    (read,) = read_layers(model)
    before = read.kernel.copy()
    randomised(model, seed=9)
    assert np.array_equal(read.kernel, before)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_known_activation_is_named(name):
    assert activation_name(keras.activations.get(name)) == name
    assert activation_name(layers.SimpleRNNCell(2, activation=name).activation) == name


def test_no_activation_is_linear_and_others_have_no_name():
    assert activation_name(None) == "linear"
    assert activation_name(keras.activations.softmax) is None
    assert activation_name(keras.ops.gelu) is None  # it approximates, Keras' activation does not
    assert activation_name(np.tanh) is None
    assert activation_name([]) is None


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (layers.LeakyReLU(negative_slope=0.2), "leaky_relu"),
        (layers.LeakyReLU(), None),
        (layers.ELU(), "elu"),
        (layers.ELU(0.5), None),
        (layers.ReLU(), "relu"),
        (layers.ReLU(max_value=6), "relu6"),
        (layers.ReLU(max_value=5), None),
        (layers.ReLU(negative_slope=0.1), None),
        (layers.ReLU(threshold=0.1), None),
        (layers.Activation("hard_sigmoid"), "hard_sigmoid"),
        (layers.Softmax(), None),
    ],
)
def test_a_layer_as_activation_has_a_name_where_it_is_that_function(layer, name):
    assert activation_name(layer) == name
    if name is not None:
        x = np.linspace(-9, 9, 101)
        assert np.allclose(layer(x), ACTIVATIONS[name](x), rtol=1e-6, atol=1e-6)


def test_every_other_name_of_an_activation_is_the_same_function():
    x = np.linspace(-9, 9, 1001)
    assert len(ALIASES) > 2 * len(ACTIVATIONS)
    for function, name in ALIASES.items():
        got = np.asarray(function(tf.constant(x)))
        assert np.allclose(got, ACTIVATIONS[name](x), rtol=1e-7, atol=1e-7), (function, name)


class Echo(layers.Layer):
    """The output is no state, and wider than it."""

    state_size, output_size = 3, 6

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 3))

    def call(self, x, states):
        after = keras.ops.sin(x @ self.kernel + states[0])
        return keras.ops.concatenate([after, states[0]], axis=-1), [after]


class Elman(layers.SimpleRNNCell):
    """Keras' own by another name: what it computes is not known."""


class OwnRnn(layers.SimpleRNN):
    pass


class OwnLoop(layers.SimpleRNN):
    def inner_loop(self, sequences, initial_state, mask, training=False):
        output, states, last = super().inner_loop(sequences, initial_state, mask, training)
        return 2 * output, states, last


def test_a_cell_of_ones_own_is_read_by_its_step():
    cell = Echo()
    (read,) = read_layers(model_of(layers.RNN(cell, return_sequences=True, name="rnn")))
    assert isinstance(read, TracedLayer)
    assert (read.cell, read.width, read.units) == ("Echo", (3,), 6)
    assert (read.state_shapes, read.output_shape, read.roles) == (((3,),), (6,), ("h",))
    assert read.output_is_state is False
    x, h = np.ones((2, 3), np.float32), np.full((2, 3), 0.5, np.float32)
    output, after = (t.numpy() for t in read.step(tf.constant(x), tf.constant(h)))
    wanted = np.sin(x @ cell.kernel.numpy() + h)
    assert np.allclose(after, wanted)
    assert np.allclose(output, np.concatenate([wanted, h], -1))


@pytest.mark.parametrize(
    ("build", "cell", "states"),
    [
        (lambda: layers.RNN(Elman(3), name="l"), "Elman", ((3,),)),
        (lambda: layers.SimpleRNN(3, activation=keras.ops.sin, name="l"), "SimpleRNNCell", ((3,),)),
        (lambda: layers.LSTM(3, activation=layers.LeakyReLU(), name="l"), "LSTMCell", ((3,),) * 2),
        (lambda: layers.GRU(3, recurrent_activation="softmax", name="l"), "GRUCell", ((3,),)),
        (
            lambda: keras.Sequential([
                layers.Reshape((-1, 3, 1)), layers.ConvLSTM1D(2, 2, name="l"),
            ]),
            "ConvLSTMCell", ((2, 2), (2, 2)),
        ),
    ],
)  # fmt: skip
def test_what_is_not_known_weight_by_weight_is_traced(build, cell, states):
    (read,) = read_layers(model_of(build(), time=4))
    assert isinstance(read, TracedLayer)
    assert (read.name, read.cell, read.state_shapes) == ("l", cell, states)
    assert read.output_is_state


def test_a_subclass_that_keeps_the_code_is_its_parent():
    (read,) = read_layers(model_of(OwnRnn(3, name="l")))
    assert (read.cell, read.units) == ("simple_rnn", 3)


def test_a_list_may_mix_known_and_own_cells():
    read = read_layers(model_of(layers.RNN([layers.GRUCell(4), Echo(), layers.LSTMCell(2)])))
    assert [type(layer) for layer in read] == [RecurrentLayer, TracedLayer, RecurrentLayer]
    assert [layer.output_shape for layer in read] == [(4,), (6,), (2,)]


def test_a_loop_of_ones_own_is_left_alone():
    assert read_layers(model_of(OwnLoop(3, name="l"))) == ()


def test_a_layer_within_a_step_has_no_state_of_the_model():
    inner = layers.TimeDistributed(layers.GRU(2, name="inner"))
    stack = keras.Sequential([layers.Reshape((4, 1, 3)), inner, layers.LSTM(2, name="outer")])
    first, second = read_layers(model_of(stack, time=4))
    assert (first.name, first.within_step, first.free) == ("inner", True, False)
    assert (second.name, second.within_step, second.free) == ("outer", False, True)


class Learned(Echo):
    def get_initial_state(self, batch_size=None):
        return keras.ops.ones((batch_size, 3))


def test_an_initial_state_of_the_cell_s_own_is_the_model_s():
    (read,) = read_layers(model_of(layers.RNN(Learned(), name="l")))
    assert (read.initial_state, read.free) == (True, False)


def test_what_computes_in_float64_is_read_so():
    layer = layers.GRU(3, dtype="float64", name="l")
    (read,) = read_layers(model_of(layer))
    assert read.dtype == read.kernel.dtype == np.float64
    assert np.array_equal(read.kernel, layer.get_weights()[0])


def quantised(name, policy="int8_from_float32"):
    return layers.Dense(3, dtype=keras.dtype_policies.get(policy), name=name)


@pytest.mark.parametrize("mode", ["int8", "float8", "int4/128"])
def test_what_is_quantised_is_refused_in_whatever_way(mode):
    policy = f"{mode}_from_float32"
    (refusal,) = refusals_of(model_of(quantised("a", policy)))
    assert str(refusal).startswith(f"layer 'a': is quantised ({policy}")


@pytest.mark.parametrize(
    ("kind", "options", "dtype"),
    [
        ("StringLookup", {"vocabulary": ["a", "b"]}, "string"),
        ("TextVectorization", {"vocabulary": ["a", "b"]}, "string"),
        ("IntegerLookup", {"vocabulary": [10, 20]}, "int64"),
        ("Hashing", {"num_bins": 5}, "int32"),
    ],
)
def test_tables_are_left_before_the_model(kind, options, dtype):
    x = keras.Input((None,) if kind != "TextVectorization" else (), dtype=dtype, name="x")
    ids = getattr(layers, kind)(name="table", **options)(x)
    model = keras.Model(x, layers.GRU(3)(layers.Embedding(9, 2)(ids)))
    refusal, *_ = refusals_of(model)  # TextVectorization holds a StringLookup
    expected = f"layer 'table': looks up or hashes what it is given ({kind}); make a model that"
    assert str(refusal).startswith(expected)


def test_weights_that_are_no_numbers_are_refused():
    model = model_of(layers.GRU(3, name="l"))
    kernel, *rest = model.get_layer("l").get_weights()
    kernel[1, 2] = np.nan
    model.get_layer("l").set_weights([kernel, *rest])
    (refusal,) = refusals_of(model)
    assert str(refusal).startswith("layer 'l': has weights that are NaN or infinite; train")


def test_every_reason_is_given_at_once():
    fine = layers.SimpleRNN(3, return_sequences=True, name="fine")
    model = model_of(
        quantised("a"), fine, OwnLoop(3, name="b", return_sequences=True), quantised("c")
    )
    model.get_layer("b").stateful = True
    assert [refusal.layer for refusal in refusals_of(model)] == ["a", "b", "c"]
    with pytest.raises(UnsupportedModelError, match="'mine' cannot be exported exactly") as raised:
        refuse(model, refusals_of(model))
    parts = str(raised.value).split(" | ")
    assert len(parts) == 3
    assert all("; " in part for part in parts)
    assert "layer 'b': is stateful with a loop of its own (OwnLoop.inner_loop)" in parts[1]
    assert raised.value.exit_code == 4


def test_a_model_of_known_layers_has_no_reason_against_it():
    model = model_of(layers.SimpleRNN(3, return_sequences=True), layers.Dense(2))
    assert refusals_of(model) == []
    refuse(model, [])


def masked(*stack):
    x = keras.Input((None, 3), name="x")
    y = layers.Masking()(x)
    for layer in stack:
        y = layer(y)
    return keras.Model(x, y, name="mine")


def test_a_mask_is_read_where_a_layer_receives_one():
    options = {"return_sequences": True, "zero_output_for_mask": True}
    model = masked(layers.LSTM(4, **options), layers.GRU(3))
    facts = [(r.masked, r.zero_output_for_mask, r.carries_output) for r in read_layers(model)]
    assert facts == [(True, True, True), (True, False, False)]


def test_a_mask_that_ends_before_a_recurrent_layer_is_none():
    pooled = (layers.GlobalAveragePooling1D(), layers.RepeatVector(4))
    (read,) = read_layers(masked(*pooled, layers.SimpleRNN(4, name="rnn")))
    assert (read.name, read.masked) == ("rnn", False)
