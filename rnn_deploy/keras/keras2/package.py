"""The package tf_keras, loaded only when it is needed, and its private names."""

import sys
from functools import cache
from types import ModuleType
from typing import Any

from rnn_deploy.keras.compat import check_signatures, find
from rnn_deploy.keras.tensorflow import tf
from rnn_deploy.numerics.cells import HARD_SIGMOID_OF_KERAS_2
from rnn_deploy.optional import require

# Functions that we replace or call, as in `compat`.
REPLACED = {
    "tf_keras.layers.RNN.call": "self inputs mask training initial_state constants",
    "tf_keras.layers.RNN.get_initial_state": "self inputs",
    "tf_keras.layers.GRU.call": "self inputs mask training initial_state",
    "tf_keras.layers.LSTM.call": "self inputs mask training initial_state",
    "tf_keras.layers.Bidirectional.call": "self inputs training mask initial_state constants",
    "tf_keras.layers.TimeDistributed.call": "self inputs training mask",
    "tf_keras.layers.Embedding.call": "self inputs",
    "tf_keras.layers.Masking.call": "self inputs",
    "tf_keras.layers.Layer.__call__": "self args kwargs",
    "tf_keras.src.layers.rnn.base_conv_rnn.ConvRNN.call": (
        "self inputs mask training initial_state constants"
    ),
}
CALLED = {
    "tf_keras.layers.Layer._flatten_layers": "include_self",
    "tf_keras.models.load_model": "filepath custom_objects compile safe_mode",
    "tf_keras.src.saving.legacy.hdf5_format.load_weights_from_hdf5_group": "f model",
    "tf_keras.src.saving.legacy.model_config.model_from_config": "config custom_objects",
    "tf_keras.src.saving.serialization_lib.SafeModeScope": "safe_mode",
}
_SAME = ("tanh", "linear", "relu", "sigmoid", "softsign", "softplus", "elu", "selu", "mish", "gelu")
_KNOWN = {"swish": "silu", "exponential": "exponential", "hard_sigmoid": HARD_SIGMOID_OF_KERAS_2}


@cache
def package() -> Any:
    """Import tf_keras and check its signatures, or raise MissingExtraError with the pip command."""
    first = "tf_keras" not in sys.modules
    keras2 = require("tf_keras")
    if first:  # the settings in ~/.keras/keras.json must not change the meaning of a model file
        keras2.backend.set_floatx("float32")
        keras2.backend.set_epsilon(1e-7)
        keras2.backend.set_image_data_format("channels_last")
    check_signatures(REPLACED, CALLED)
    return keras2


def loaded() -> ModuleType | None:
    """Return tf_keras if it was imported, by us or by the user."""
    return sys.modules.get("tf_keras")


def conv_rnn() -> Any:
    """Return the class of tf_keras whose `call` runs the loop of every ConvLSTM."""
    return find("tf_keras.src.layers.rnn.base_conv_rnn.ConvRNN")


def is_keras2(thing: Any) -> bool:
    """Return whether a layer, model or cell is one of tf_keras."""
    keras2 = loaded()
    return keras2 is not None and isinstance(thing, keras2.layers.Layer)


def read_cells() -> dict[type, str]:
    """Return the cells of tf_keras that are read weight by weight, with our names."""
    keras2 = loaded()
    if keras2 is None:
        return {}
    layers = keras2.layers
    return {layers.SimpleRNNCell: "simple_rnn", layers.GRUCell: "gru", layers.LSTMCell: "lstm"}


def activation_name(activation: Any) -> str | None:
    """Return our name of an activation function of tf_keras, None if it has none."""
    keras2 = loaded()
    if keras2 is None:
        return None
    for theirs, ours in {**{name: name for name in _SAME}, **_KNOWN}.items():
        if getattr(keras2.activations, theirs, None) is activation:
            return ours
    return None


def state_shapes(cell: Any, width: tuple[int, ...] | None = None) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of a cell's states, each without the batch.

    width: the shape of one step, needed for the cell of a ConvLSTM; without it only the number of
    shapes is right.
    """
    sizes = tf.nest.flatten(cell.state_size)
    if hasattr(cell, "input_conv") and width is not None:
        with tf.init_scope():
            kernel = tf.zeros((*cell.kernel_shape[:-1], cell.filters), cell.compute_dtype)
            step = tf.zeros((1, *width), cell.compute_dtype)
            shape = cell.input_conv(step, kernel, padding=cell.padding).shape[1:]
        return tuple(tuple(shape) for _ in sizes)
    return tuple(
        tuple(size) if isinstance(size, tf.TensorShape) else (int(size),) for size in sizes
    )
