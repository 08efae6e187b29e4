"""The values that enter and leave a recurrent layer of the original model.

a Call while it is traced  --seen_of-->  tensors  --layer_run-->  LayerRun, in NumPy
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_deploy.keras.intercept import LayerCall
from rnn_deploy.keras.tensorflow import tf
from rnn_deploy.numerics.cells import LayerRun
from rnn_deploy.spec import RecurrentLayer

Tensors = dict[str, Any]


def seen_of(call: LayerCall, before: list[Any] | None, output: Any, after: list[Any]) -> Tensors:
    """Return the tensors of one call. before: its initial states, None for zero."""
    return {
        "x": tf.convert_to_tensor(call.sequences),
        "mask": [] if call.mask is None else [call.mask],
        "before": list(before or []),
        "output": output,
        "after": list(after),
    }


def layer_run(layers: tuple[RecurrentLayer, ...], tensors: Mapping[str, Any]) -> LayerRun:
    """Return the values of one call of a stack of `layers`."""
    x = tensors["x"].numpy()
    shapes = [shape for layer in layers for shape in layer.state_shapes]
    before = [state.numpy() for state in tensors["before"]]
    before = before or [np.zeros((x.shape[0], *shape), x.dtype) for shape in shapes]
    mask = tensors["mask"][0].numpy() if tensors["mask"] else None
    output = tensors["output"].numpy()
    return LayerRun(
        layers, x, mask, tuple(before), output, tuple(state.numpy() for state in tensors["after"])
    )
