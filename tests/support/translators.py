"""Encoder-decoder models, with random weights."""

import keras
from keras import layers

from tests.support.models import randomised

SOURCES, TARGETS = 11, 9  # sizes of the vocabularies


def inputs():
    return (
        keras.Input((None,), dtype="int32", name="source"),
        keras.Input((None,), dtype="int32", name="target"),
    )


def translator(kind="LSTM", masked=True, attention=True, units=5):
    """Embedding, encoder, decoder from its states, Attention with scores, and a distribution."""
    source, target = inputs()
    cell = getattr(layers, kind)
    x = layers.Embedding(SOURCES, 4, mask_zero=masked, name="source_ids")(source)
    encoded, *states = cell(units, return_sequences=True, return_state=True, name="encoder")(x)
    x = layers.Embedding(TARGETS, 4, mask_zero=masked, name="target_ids")(target)
    y = cell(units, return_sequences=True, name="decoder")(x, initial_state=states)
    outputs = {}
    if attention:
        context, scores = layers.Attention(name="look")([y, encoded], return_attention_scores=True)
        y, outputs["scores"] = layers.Concatenate(name="both")([y, context]), scores
    outputs["y"] = layers.Dense(TARGETS, activation="softmax", name="next")(y)
    return randomised(keras.Model([source, target], outputs, name="translator"), scale=0.7)


def vectors(build):
    """A model of vectors; build: of source and target sequences, returns the output."""
    source, target = keras.Input((None, 3), name="source"), keras.Input((None, 2), name="target")
    return randomised(keras.Model([source, target], build(source, target), name="vectors"))
