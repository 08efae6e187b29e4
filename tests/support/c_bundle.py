"""A bundle with C files of a masked GRU and LSTM, and one of a model that needs whole sequences."""

import keras

from rnn_deploy import export
from tests.support.models import LONG, randomised

L = keras.layers


def masked_model():
    """Masking, a GRU, an LSTM and a Dense: input "x" (batch, time, 3), output "y" (..., 2)."""
    x = i = keras.Input((None, 3), name="x")
    x = L.GRU(9, return_sequences=True, name="gru")(L.Masking(0.0, name="masking")(x))
    x = L.LSTM(4, return_sequences=True, name="lstm")(x)
    return randomised(keras.Model(i, L.Dense(2, name="y")(x), name="masked"), scale=0.5)


def whole_model():
    """Token ids, an Embedding, a Bidirectional LSTM, its last output and a softmax."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = L.Embedding(7, 5, mask_zero=True, name="embedding")(ids)
    x = L.Bidirectional(L.LSTM(4), name="both")(x)
    outputs = L.Dense(3, activation="softmax", name="class")(x)
    return randomised(keras.Model(ids, outputs, name="whole"), scale=0.5)


def c_bundle(model, place):
    """Export a model to C only; the bundle's folder."""
    return export(model, place, to="c", long=LONG).root
