"""Explain loops that a layer writes itself, with keras.ops.scan, keras.ops.while_loop or tf.map_fn.

Such a loop collects its steps' values in a TensorList, for which ONNX and TFLite have no
operators. Some such loops are converted by a pattern; this explains those that are not.
A recurrent layer with a cell of the same step is exported, and gets states too.
"""

import re
from collections.abc import Collection

from rnn_deploy.errors import UnsupportedModelError


def collects_in_loop(operator: str) -> bool:
    """Return whether a TensorFlow operator belongs to values that a loop collects."""
    return operator.startswith(("TensorList", "TensorArray"))


def layer_at(place: str, layers: Collection[str]) -> str | None:
    """Return the layer that a node belongs to, by its name, `scope/scope/operation`.

    TensorFlow numbers a scope that is entered again. None if no scope is one of `layers`.
    """
    scopes = (form for part in place.split("/") for form in (part, re.sub(r"_\d+$", "", part)))
    return next((scope for scope in scopes if scope in layers), None)


def own_loop(layer: str | None, format: str) -> UnsupportedModelError:
    """Return the error for such a loop.

    layer: the one that runs it, None if it is unknown. format: the one that cannot express it.
    """
    return UnsupportedModelError(
        "E-MODEL-OWN-LOOP",
        f"{f'layer {layer!r}' if layer else 'the model'} runs a loop of its own (keras.ops.scan,"
        " keras.ops.while_loop, tf.map_fn or the like) and collects a value of each step, which"
        f" {format} cannot express; write the loop's step as a cell, and call"
        " keras.layers.RNN(cell)",
    )
