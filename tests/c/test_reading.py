"""What is refused, and with which words; where masks come from."""

import keras
import numpy as np
import pytest

from rnn_deploy.c.ir import AllMasksNode, CellNode, DiffersNode
from rnn_deploy.c.reading import read_program
from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras.signature import signature_of
from tests.support.errors import raises

L = keras.layers


def read(model):
    return read_program(model, signature_of(model))


def series(width=3):
    return keras.Input((None, width), name="x")


def test_everything_that_is_refused_is_listed_at_once():
    x = series()
    y = L.MultiHeadAttention(1, 2, name="heads")(x, x)
    y = L.GRU(3, activation=lambda v: v * 2, return_sequences=True, name="own")(y)
    y = L.Conv1D(3, 2, padding="same", name="ahead")(y)
    y = L.GlobalAveragePooling1D(name="mean")(y)
    model = keras.Model(x, y, name="many")
    with raises(UnsupportedModelError, "E-MODEL-C-LAYER", "many", "heads", "own", "ahead", "mean"):
        read(model)


class Doubled(L.Dense):
    def call(self, inputs, training=None):
        return 2 * super().call(inputs)


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("code", lambda x: Doubled(3, name="code")(x)),
        ("axis", lambda x: L.Softmax(axis=1, name="axis")(x)),
        ("strided", lambda x: L.Conv1D(2, 2, 2, padding="causal", name="strided")(x)),
        ("up", lambda x: L.UpSampling1D(2, name="up")(x)),
        ("each", lambda x: L.PReLU(name="each")(keras.ops.reshape(x, (-1, 4, 3)))),
        ("get_item", lambda x: x[:, 1:, :]),
    ],
)
def test_a_layer_is_refused_by_name(name, build):
    x = series()
    keras.backend.clear_session()
    with raises(UnsupportedModelError, "E-MODEL-C-LAYER", name):
        read(keras.Model(x, L.GRU(2)(build(x))))


def test_weights_that_are_not_finite_are_refused():
    x = series()
    model = keras.Model(x, L.Dense(2, name="last")(L.GRU(2, name="gru")(x)))
    model.get_layer("last").bias.assign([0.0, np.nan])
    with raises(UnsupportedModelError, "E-MODEL-C-LAYER", "last"):
        read(model)


def test_a_subclassed_model_is_refused():
    class Own(keras.Model):
        def __init__(self):
            super().__init__(name="own")
            self.gru = L.GRU(2)

        def call(self, x):
            return self.gru(x)

    model = Own()
    model(np.zeros((1, 2, 3), np.float32))
    with raises(UnsupportedModelError, "E-MODEL-C-SUBCLASSED", "own"):
        read(model)


def test_float64_is_refused():
    x = keras.Input((None, 3), dtype="float64")
    with raises(UnsupportedModelError, "E-MODEL-FLOAT64"):
        read(keras.Model(x, L.GRU(2, dtype="float64")(x)))


def test_an_input_of_another_kind_is_refused():
    x = keras.Input((None, 3), dtype="uint8", name="bytes")
    with raises(UnsupportedModelError, "E-MODEL-C-LAYER", "bytes", "uint8"):
        read(keras.Model(x, L.GRU(2)(L.Rescaling(1.0)(x))))


def test_a_mask_is_one_comparison_wherever_it_goes():
    x = series()
    y = L.GRU(2, return_sequences=True, name="a")(L.Masking(0.5)(x))
    y = L.LSTM(2, name="b")(L.Dropout(0.1)(L.LayerNormalization()(y)))
    program = read(keras.Model(x, y))
    (mask,) = (node for node in program.nodes if isinstance(node, DiffersNode))
    assert mask.value == 0.5
    cells = [node for node in program.nodes if isinstance(node, CellNode)]
    assert [cell.mask for cell in cells] == [mask.y, mask.y]


def test_masks_of_several_inputs_are_joined_by_or():
    ids = keras.Input((6,), dtype="int32")
    other = keras.Input((6,), dtype="int32")
    embed = L.Embedding(5, 3, mask_zero=True)
    y = L.GRU(2, name="gru")(L.Concatenate()([embed(ids), embed(other)]))
    program = read(keras.Model([ids, other], y))
    (joined,) = (node for node in program.nodes if isinstance(node, AllMasksNode))
    assert joined.any
    (cell,) = program.cells
    assert cell.mask is joined.y


def test_beside_what_has_no_mask_every_step_counts():
    ids = keras.Input((6,), dtype="int32")
    x = keras.Input((6, 3))
    both = L.Concatenate()([L.Embedding(5, 3, mask_zero=True)(ids), x])
    (cell,) = read(keras.Model([ids, x], L.GRU(2)(both))).cells
    assert cell.mask is None


def test_what_no_output_depends_on_is_left_out():
    x = series()
    L.LSTM(3, name="unused")(x)
    _, state = L.GRU(2, return_state=True, name="used")(x)
    program = read(keras.Model(x, state))
    assert [cell.cell.name for cell in program.cells] == ["used"]


def test_inputs_that_differ_in_length_are_not_put_together():
    x, z = series(), keras.Input((None, 3), name="z")
    both = L.Concatenate(name="both")([x, z])
    with raises(UnsupportedModelError, "E-MODEL-C-LAYER", "both", "lengths"):
        read(keras.Model([x, z], L.GRU(2)(both)))
