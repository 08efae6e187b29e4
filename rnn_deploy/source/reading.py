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
from rnn_deploy.spec import RecurrentLayer, Stack


@dataclass(frozen=True)
class Refusal:
    """Why one layer cannot be exported, and what to do about it."""

    layer: str
    reason: str
    advice: str

    def __str__(self) -> str:
        return f"layer '{self.layer}': {self.reason}; {self.advice}"


TAKEN_LAYERS = (keras.layers.SimpleRNN, keras.layers.GRU, keras.layers.LSTM, keras.layers.RNN)
TAKEN_CELLS = {
    keras.layers.SimpleRNNCell: "simple_rnn",
    keras.layers.GRUCell: "gru",
    keras.layers.LSTMCell: "lstm",
}
_SO_FAR = "SimpleRNN, GRU, LSTM, and RNN over their cells are exported so far"


def refusals_of(model: Any) -> list[Refusal]:
    """Everything about the model's layers that stands in the way, all of it at once."""
    layers = [layer for layer in model._flatten_layers() if layer is not model]
    cells = {id(c) for rnn in layers if isinstance(rnn, keras.layers.RNN) for c in cells_of(rnn)}
    found = (_refusal_of(layer) for layer in layers if id(layer) not in cells)
    return [refusal for refusal in found if refusal is not None]


def refuse(model: Any, refusals: list[Refusal]) -> None:
    """Raise UnsupportedModelError with every refusal, if there is one."""
    if refusals:
        raise UnsupportedModelError(
            f"model '{model.name}' cannot be exported exactly: " + " | ".join(map(str, refusals))
        )


def read(call: Call) -> Stack:
    """Read the layer of one call, a layer for each of its cells.

    Over a list of cells only the first one runs backwards, and each but the last hands on its
    whole sequence: the list is a stack of layers.
    """
    cells = cells_of(call.layer)
    last = len(cells) - 1
    return tuple(
        RecurrentLayer(
            name=call.name if last == 0 else f"{call.name}_cell{index}",
            cell=TAKEN_CELLS[type(cell)],
            units=int(cell.units),
            kernel=_value(cell.kernel),
            recurrent_kernel=_value(cell.recurrent_kernel),
            bias=_value(cell.bias) if cell.use_bias else None,
            activation=activation_name(cell.activation) or "",
            go_backwards=bool(call.layer.go_backwards) and index == 0,
            return_sequences=bool(call.layer.return_sequences) or index < last,
            steps=call.sequences.shape[1],
            initial_state=call.initial_state is not None,
            recurrent_activation=activation_name(getattr(cell, "recurrent_activation", None)) or "",
            reset_after=bool(getattr(cell, "reset_after", False)),
            masked=call.mask is not None,
            zero_output_for_mask=bool(call.layer.zero_output_for_mask) and index == last,
        )
        for index, cell in enumerate(cells)
    )


def cells_of(layer: Any) -> list[Any]:
    """The cells an RNN layer runs, first to last."""
    stacked = type(layer.cell) is keras.layers.StackedRNNCells
    return list(layer.cell.cells) if stacked else [layer.cell]


def activation_name(activation: Any) -> str | None:
    """Keras' name of one of its own activation functions, or None for any other."""
    if activation is None:
        return "linear"
    return next((n for n in ACTIVATIONS if getattr(keras.activations, n) is activation), None)


def _refusal_of(layer: Any) -> Refusal | None:
    kind = type(layer).__name__
    if isinstance(layer, keras.layers.TimeDistributed) and _holds_recurrence(layer.layer):
        return Refusal(
            layer.name,
            "is TimeDistributed over a recurrent layer, whose states would be one for each step",
            "give it to the model as a sequence of its own",
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
    cells = cells_of(layer)
    foreign = [type(cell).__name__ for cell in cells if type(cell) not in TAKEN_CELLS]
    if type(layer) not in TAKEN_LAYERS or foreign:
        over = f" over {', '.join(foreign)}" if type(layer) is keras.layers.RNN else ""
        return Refusal(layer.name, f"is {kind}{over}", _SO_FAR)
    if not layer.built:
        return Refusal(layer.name, "has no weights yet", "call the model once before exporting")
    for cell in cells:
        for activation in (cell.activation, getattr(cell, "recurrent_activation", None)):
            if activation_name(activation) is None:
                name = getattr(activation, "__name__", type(activation).__name__)
                known = ", ".join(ACTIVATIONS)
                return Refusal(layer.name, f"has the activation '{name}'", f"known are {known}")
    return None


def _is_keras_own(layer: Any) -> bool:
    return type(layer).__module__.partition(".")[0] == "keras"


def _holds_recurrence(layer: Any) -> bool:
    return any(isinstance(inner, keras.layers.RNN) for inner in layer._flatten_layers())


def _looks_recurrent(layer: Any) -> bool:
    return hasattr(layer, "state_size")


def _value(variable: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    with tf.init_scope():
        return np.asarray(variable.numpy(), dtype=np.float32)
