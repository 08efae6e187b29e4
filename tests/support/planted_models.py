"""The models of the campaign of planted faults (scripts/faults.py), with random weights."""

import keras
from keras import layers

from tests.support.gated import gated_model
from tests.support.models import randomised
from tests.support.translators import translator

VOCABULARY = 23


def tokens():
    """Masked ids, an LSTM in both directions, a GRU, a distribution."""
    x = inputs = keras.Input((None,), dtype="int32", name="ids")
    x = layers.Embedding(VOCABULARY, 6, mask_zero=True, name="embedding")(x)
    x = layers.Bidirectional(layers.LSTM(5, return_sequences=True), name="both")(x)
    x = layers.GRU(4, return_sequences=True, reset_after=False, name="gru")(x)
    outputs = layers.Dense(5, activation="softmax", name="y")(x)
    return randomised(keras.Model(inputs, outputs, name="tokens"), scale=0.6)


def forked():
    """A SimpleRNN of relu and an LSTM side by side, and two outputs of one shape."""
    x = keras.Input((None, 3), name="x")
    one = layers.SimpleRNN(4, activation="relu", return_sequences=True, name="rnn")(x)
    two = layers.LSTM(5, return_sequences=True, name="lstm")(x)
    both = layers.Concatenate(name="joined")([one, two])
    outputs = {name: layers.Dense(2, activation="tanh", name=name)(both) for name in ("a", "b")}
    return randomised(keras.Model(x, outputs, name="forked"), scale=0.35)


def summary():
    """Two GRUs, the last step of the second alone, a regression."""
    x = inputs = keras.Input((None, 4), name="x")
    x = layers.GRU(6, return_sequences=True, name="first")(x)
    x = layers.GRU(5, name="second")(x)
    outputs = layers.Dense(1, name="y")(layers.Dense(8, activation="relu", name="hidden")(x))
    return randomised(keras.Model(inputs, outputs, name="summary"), scale=0.5)


MODELS = {
    "gated": gated_model, "tokens": tokens, "forked": forked, "summary": summary,
    "translator": translator,
}  # fmt: skip
