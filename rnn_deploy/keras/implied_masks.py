"""Masks that Keras passes to a layer at run time and does not write into the graph.

Keras 3 passes the masks of its inputs to a layer. For a layer with one input, the mask is an
argument of the call in the graph. For a layer with a list of inputs it is not: only the symbolic
tensors have these masks.
"""

from collections.abc import Sequence
from typing import Any

from rnn_deploy.keras.access import takes_mask
from rnn_deploy.keras.compat import get_keras_mask
from rnn_deploy.keras.tensorflow import keras


def implied_mask(node: Any) -> Sequence[Any] | None:
    """Return the masks of the list of inputs of a call; None if Keras passes none."""
    operation, arguments = node.operation, node.arguments
    if not isinstance(operation, keras.layers.Layer) or not takes_mask(operation):
        return None
    first = arguments.args[0] if len(arguments.args) == 1 else None
    if not isinstance(first, list | tuple) or arguments.kwargs.get("mask") is not None:
        return None
    if any(isinstance(t, keras.KerasTensor) for t in keras.tree.flatten(arguments.kwargs)):
        return None  # Keras passes no mask to a call with several tensor arguments
    masks = [get_keras_mask(tensor) for tensor in first]
    return None if all(mask is None for mask in masks) else masks
