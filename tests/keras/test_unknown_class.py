"""One message for a class that Keras does not know, whatever Keras said."""

from pathlib import Path

import pytest

from rnn_deploy.keras.unknown_class import name_in, unknown_class

LAYER = {"class_name": "Own", "config": {"name": "mine", "layer": {"class_name": "LSTM"}}}
WRAPPED = {"class_name": "Bidirectional", "config": {"name": "both", "layer": LAYER}}
GATED = {"class_name": "LSTM", "config": {"name": "rnn", "activation": "Own"}}


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("Could not locate class 'Own'. Make sure custom classes are decorated", "Own"),
        ("Could not locate function 'swish2'. Make sure", "swish2"),
        ("Unknown layer: 'Own'. Please ensure you are using a scope", "Own"),
        ("Unknown layer: Mine>Own. Please ensure", "Mine>Own"),
        ("Unknown activation function: 'swish2'", "swish2"),
        (
            "Unknown activation function '{'module': 'builtins', 'class_name': 'function',"
            " 'config': 'swish2', 'registered_name': 'function'}' cannot be deserialized.",
            "swish2",
        ),
        ("Could not interpret activation function identifier: swish2", "swish2"),
        ("Layer count mismatch when loading weights", None),
    ],
)
def test_the_name_is_found_in_what_keras_says(message, name):
    assert name_in(message) == name


@pytest.mark.parametrize(
    ("layers", "layer"),
    [([LAYER], "mine"), ([WRAPPED], "mine"), ([GATED], "rnn"), ([], None)],
)
def test_the_layer_is_named(layers, layer):
    config = {"class_name": "Sequential", "config": {"name": "model", "layers": layers}}
    error = unknown_class(Path("m.h5"), "pkg>Own", config)
    assert (f"layer '{layer}'" in error.message) == (layer is not None)
    assert "--custom FILE.py" in error.message
    assert error.code == "E-SOURCE-CLASS"
