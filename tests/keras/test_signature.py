"""Names, shapes and order of a model's inputs and outputs."""

import keras
import numpy as np
import pytest

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras.signature import call_flat, signature_of, with_time
from rnn_deploy.spec import TensorSpec
from tests.support.models import randomised, small_model, token_model

layers = keras.layers


def test_open_axes_become_batch_and_time():
    signature = signature_of(small_model())
    assert signature.inputs == (TensorSpec("x", ("batch", "time", 3), "float32"),)
    assert signature.output_names == ("y",)
    assert signature.symbols == ("batch", "time")


def test_fixed_axes_stay_and_further_open_ones_are_named_after_the_input():
    a = keras.Input(batch_shape=(2, 7, 3), name="a")
    b = keras.Input((None, None, 1), name="b")
    model = keras.Model([a, b], [layers.Flatten()(a), layers.Dense(2)(b)])
    shapes = [tensor.shape for tensor in signature_of(model).inputs]
    assert shapes == [(2, 7, 3), ("batch", "time", "b_axis2", 1)]


def test_several_lengths_are_told_apart():
    a, b = keras.Input((None, 3), name="a"), keras.Input((None, 2), name="b")
    model = keras.Model([a, b], [layers.Dense(1)(a), layers.Dense(1)(b)])
    signature = signature_of(model)
    assert [t.shape[1] for t in signature.inputs] == ["a_time", "b_time"]
    assert signature.symbols == ("batch", "a_time", "b_time")


def test_a_sequential_model_has_the_names_of_its_ends():
    model = keras.Sequential([keras.Input((None, 3), name="x"), layers.Dense(2, name="end")])
    signature = signature_of(model)
    assert ([t.name for t in signature.inputs], signature.output_names) == (["x"], ("end",))


def test_outputs_with_one_name_are_numbered_and_keep_clear_of_inputs():
    x = keras.Input((None, 3), name="x")
    y, state = layers.SimpleRNN(4, return_state=True, name="rnn")(x)
    model = keras.Model(x, [y, state, x, layers.Dense(2, name="rnn_1")(state)])
    names = signature_of(model).output_names
    assert names[:3] == ("rnn", "rnn_1", "x_out")
    assert len(set(names)) == 4


def test_dicts_are_named_by_their_keys_and_called_in_flat_order():
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    outputs = {"zeta": layers.Dense(2)(a), "alpha": layers.Dense(3)(b)}
    model = randomised(keras.Model({"b": b, "a": a}, outputs))
    signature = signature_of(model)
    assert [tensor.name for tensor in signature.inputs] == ["a", "b"]
    assert signature.output_names == ("alpha", "zeta")
    given = [np.ones((1, 3), np.float32), np.full((1, 2), 2, np.float32)]
    alpha, zeta = call_flat(model, given)
    direct = model({"a": given[0], "b": given[1]})
    assert np.array_equal(alpha, direct["alpha"])
    assert np.array_equal(zeta, direct["zeta"])


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="mine")
        self.rnn = layers.SimpleRNN(4)

    def call(self, x):
        return self.rnn(x)


def never_called():
    return keras.Sequential([layers.SimpleRNN(4)], name="mine")


@pytest.mark.parametrize("build", [Subclassed, never_called])
def test_a_model_whose_inputs_cannot_be_read_is_refused(build):
    with pytest.raises(UnsupportedModelError, match=r"'mine': was never called.*call it once"):
        signature_of(build())


def test_a_wrapped_subclassed_model_is_read():
    x = keras.Input((None, 3), name="x")
    assert signature_of(keras.Model(x, Subclassed()(x))).output_names == ("mine",)


def test_the_time_axis_is_changed_where_there_is_one():
    signature = signature_of(token_model())
    assert with_time(signature, lambda tensor: 9).inputs[0].shape == ("batch", 9)


def test_an_output_never_takes_a_name_that_is_taken():
    x, z = keras.Input((None, 3), name="x"), keras.Input((None, 3), name="x_out")
    signature = signature_of(keras.Model([x, z], [x, layers.GRU(4, name="y")(x + z)]))
    assert signature.output_names == ("x_out_1", "y")


def test_text_is_refused():
    x = keras.Input((), dtype="string", name="words")
    ids = layers.TextVectorization(vocabulary=["a", "b"])(x)
    model = keras.Model(x, layers.GRU(4)(layers.Embedding(9, 3)(ids)))
    with pytest.raises(UnsupportedModelError, match=r"input 'words' is text.*token ids"):
        signature_of(model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ragged": True}, "input 'x' is ragged.*Masking"),
        ({"sparse": True}, "input 'x' is sparse.*sparse=False"),
    ],
)
def test_what_is_no_plain_array_is_refused(options, message):
    x = keras.Input((4, 3), name="x", **options)
    with pytest.raises(UnsupportedModelError, match=message):
        signature_of(keras.Model(x, layers.Dense(2)(x)))
