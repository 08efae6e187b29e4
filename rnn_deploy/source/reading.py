"""A Keras recurrent layer as a RecurrentLayer, or the reason why it cannot be exported exactly.

Layers are read, never guessed back from a graph: only a layer whose code is Keras' own is taken,
since a subclass may compute anything.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_deploy.cells import ACTIVATIONS
from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.source.intercept import Call
from rnn_deploy.source.tensorflow import keras, tf
from rnn_deploy.spec import RecurrentLayer


@dataclass(frozen=True)
class Refusal:
    """Why one layer cannot be exported, and what to do about it."""

    layer: str
    reason: str
    advice: str

    def __str__(self) -> str:
        return f"layer '{self.layer}': {self.reason}; {self.advice}"


TAKEN_LAYERS = (keras.layers.SimpleRNN, keras.layers.RNN)
TAKEN_CELLS = {keras.layers.SimpleRNNCell: "simple_rnn"}
_SO_FAR = "SimpleRNN and RNN(SimpleRNNCell) are exported so far"


def refusals_of(model: Any) -> list[Refusal]:
    """Everything about the model's layers that stands in the way, all of it at once."""
    layers = [layer for layer in model._flatten_layers() if layer is not model]
    found = (_refusal_of(layer) for layer in layers)
    return [refusal for refusal in found if refusal is not None]


def refuse(model: Any, refusals: list[Refusal]) -> None:
    """Raise UnsupportedModelError with every refusal, if there is one."""
    if refusals:
        raise UnsupportedModelError(
            f"model '{model.name}' cannot be exported exactly: " + " | ".join(map(str, refusals))
        )


def read(call: Call) -> RecurrentLayer:
    """Read the layer of one call; UnsupportedModelError for a mask or a foreign activation."""
    cell = call.layer.cell
    if call.mask is not None:
        reason = Refusal(call.name, "receives a mask", "masks are not exported so far")
        raise UnsupportedModelError(str(reason))
    return RecurrentLayer(
        name=call.name,
        cell=TAKEN_CELLS[type(cell)],
        units=int(cell.units),
        kernel=_value(cell.kernel),
        recurrent_kernel=_value(cell.recurrent_kernel),
        bias=None if cell.bias is None else _value(cell.bias),
        activation=activation_name(cell.activation) or "",
        go_backwards=bool(call.layer.go_backwards),
        return_sequences=bool(call.layer.return_sequences),
        steps=call.sequences.shape[1],
        initial_state=call.initial_state is not None,
    )


def activation_name(activation: Any) -> str | None:
    """Keras' name of one of its own activation functions, or None for any other."""
    if activation is None:
        return "linear"
    return next((n for n in ACTIVATIONS if getattr(keras.activations, n) is activation), None)


def _refusal_of(layer: Any) -> Refusal | None:
    kind = type(layer).__name__
    if isinstance(layer, keras.layers.TimeDistributed):
        return Refusal(
            layer.name,
            "is TimeDistributed, which Keras itself miscomputes with an open batch and time",
            "apply the inner layer directly (Dense works on every step by itself)",
        )
    if isinstance(layer, keras.layers.RNN):
        return _refusal_of_recurrent(layer, kind)
    if not _is_keras_own(layer) and _looks_recurrent(layer):
        return Refusal(layer.name, f"is a recurrent cell of your own ({kind})", _SO_FAR)
    if layer.variable_dtype == "float64":
        return Refusal(layer.name, "has float64 weights", "export a float32 copy of the model")
    if "int8" in str(layer.dtype_policy.name) or "float8" in str(layer.dtype_policy.name):
        return Refusal(
            layer.name, f"is quantised ({layer.dtype_policy.name})", "export the model unquantised"
        )
    return None


def _refusal_of_recurrent(layer: Any, kind: str) -> Refusal | None:
    cell = layer.cell
    if type(layer) not in TAKEN_LAYERS or type(cell) not in TAKEN_CELLS:
        over = "" if type(layer) is not keras.layers.RNN else f" over {type(cell).__name__}"
        return Refusal(layer.name, f"is {kind}{over}", _SO_FAR)
    if not layer.built:
        return Refusal(layer.name, "has no weights yet", "call the model once before exporting")
    if activation_name(cell.activation) is None:
        name = getattr(cell.activation, "__name__", type(cell.activation).__name__)
        known = ", ".join(ACTIVATIONS)
        return Refusal(layer.name, f"has the activation '{name}'", f"known are {known}")
    return None


def _is_keras_own(layer: Any) -> bool:
    return type(layer).__module__.partition(".")[0] == "keras"


def _looks_recurrent(layer: Any) -> bool:
    return hasattr(layer, "state_size")


def _value(variable: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    with tf.init_scope():
        return np.asarray(variable.numpy(), dtype=np.float32)
