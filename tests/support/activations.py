"""The activations of Keras 3; the hard sigmoid of Keras 2 is tested with tf_keras."""

from rnn_deploy.numerics.cells import ACTIVATIONS, HARD_SIGMOID_OF_KERAS_2

OF_KERAS_3 = tuple(name for name in ACTIVATIONS if name != HARD_SIGMOID_OF_KERAS_2)
