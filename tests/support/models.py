"""Keras models that many tests use, and random weights for any model.

Weights are random and not symmetric and biases are not zero, so that a swapped, transposed or
forgotten weight cannot pass.
"""

import numpy as np

# Steps of the longest golden vector where a test is not about length; for the default of 10,000
# TensorFlow takes longer than for everything else together.
LONG = 300


def randomised(model, seed=0, scale=0.5):
    """Give every weight of a Keras model random values; returns the model."""
    rng = np.random.default_rng(seed)
    model.set_weights(
        [(scale * rng.standard_normal(w.shape)).astype(w.dtype) for w in model.get_weights()]
    )
    return model


def small_model(seed=0):
    """Two stacked SimpleRNNs and a Dense: input "x" (None, None, 3), output "y" (…, 2)."""
    import keras

    x = inputs = keras.Input((None, 3), name="x")
    x = keras.layers.SimpleRNN(5, return_sequences=True, name="first")(x)
    x = keras.layers.SimpleRNN(4, return_sequences=True, activation="sigmoid", name="second")(x)
    outputs = keras.layers.Dense(2, name="y")(x)
    return randomised(keras.Model(inputs, outputs, name="small"), seed)


def token_model(seed=0):
    """Embedding over 7 ids, a SimpleRNN, a Dense on its last output: input "ids" int32."""
    import keras

    x = inputs = keras.Input((None,), dtype="int32", name="ids")
    x = keras.layers.Embedding(7, 3, name="embedding")(x)
    x = keras.layers.SimpleRNN(4, name="rnn")(x)
    outputs = keras.layers.Dense(2, name="y")(x)
    return randomised(keras.Model(inputs, outputs, name="tokens"), seed)
