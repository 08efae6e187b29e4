"""Read a Keras recurrent layer as a RecurrentLayer or TracedLayer, or return why it cannot.

Layers are read, never reconstructed from a graph. A cell with Keras' own code and known activations
is read weight by weight; the step of any other cell is traced.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras import access
from rnn_deploy.keras.intercept import LayerCall
from rnn_deploy.keras.keras2 import package as keras2
from rnn_deploy.keras.originals import runs_its_own_loop
from rnn_deploy.keras.step import state_shapes, traced_step
from rnn_deploy.keras.tensorflow import keras, tf
from rnn_deploy.numerics.cells import ACTIVATIONS
from rnn_deploy.spec import RecurrentLayer, Stack, StateKey, TracedLayer, Weights, roles_of


@dataclass(frozen=True)
class Refusal:
    """The reason why one layer cannot be exported, and advice."""

    code: str
    layer: str
    reason: str
    advice: str

    def __str__(self) -> str:
        return f"layer '{self.layer}': {self.reason}; {self.advice}"


READ_CELLS = {
    keras.layers.SimpleRNNCell: "simple_rnn",
    keras.layers.GRUCell: "gru",
    keras.layers.LSTMCell: "lstm",
}
_LOOKS_UP = (
    *("StringLookup", "IntegerLookup", "TextVectorization"),
    *("Hashing", "HashedCrossing"),
)
# The same functions under other names; their values are equal or differ in the last bits.
# keras.ops.gelu is missing because it approximates by default.
ALIASES: dict[Any, str] = {
    getattr(module, name): name
    for module in (keras.activations, keras.ops, tf.nn)
    for name in ACTIVATIONS
    if hasattr(module, name) and (module, name) != (keras.ops, "gelu")
} | {
    tf.tanh: "tanh",
    tf.sigmoid: "sigmoid",
    tf.identity: "linear",
    tf.exp: "exponential",
    keras.ops.exp: "exponential",
}


def refusals_of(model: Any) -> list[Refusal]:
    """Return every reason why a layer of the model cannot be exported."""
    layers = access.layers_in(model, include_self=False)
    cells = {id(c) for rnn in layers if access.is_a(rnn, "RNN") for c in cells_of(rnn)}
    found = (_refusal_of(layer) for layer in layers if id(layer) not in cells)
    return [refusal for refusal in found if refusal is not None]


def refuse(model: Any, refusals: list[Refusal]) -> None:
    """Raise UnsupportedModelError with every refusal, if there is one."""
    if refusals:
        codes = {refusal.code for refusal in refusals}
        raise UnsupportedModelError(
            codes.pop() if len(codes) == 1 else "E-MODEL-SEVERAL",
            f"model '{model.name}' cannot be exported exactly: " + " | ".join(map(str, refusals)),
        )


def precision_of(model: Any) -> str:
    """Return float64 if a layer of the model computes in it, else float32."""
    computed = {layer.compute_dtype for layer in access.layers_in(model)}
    return "float64" if "float64" in computed else "float32"


def read(call: LayerCall) -> Stack:
    """Read the layer of one call as a stack: a layer for each of its cells.

    In a list of cells only the first runs backwards, and each except the last returns its whole
    sequence.
    """
    cells = cells_of(call.layer)
    last = len(cells) - 1
    layers: list[RecurrentLayer | TracedLayer] = []
    width = tuple(call.sequences.shape[2:])
    for index, cell in enumerate(cells):
        facts = {
            "name": call.name if last == 0 else f"{call.name}_cell{index}",
            "go_backwards": bool(call.layer.go_backwards) and index == 0,
            "return_sequences": bool(call.layer.return_sequences) or index < last,
            "steps": call.sequences.shape[1],
            "initial_state": call.initial_state is not None,
            "masked": call.mask is not None,
            "zero_output_for_mask": bool(call.layer.zero_output_for_mask) and index == last,
            "within_step": call.within_step,
        }
        known = _is_known(cell)
        layers.append(
            _read_cell(cell, facts) if known else _traced(cell, width, facts, call.training)
        )
        width = layers[-1].output_shape
    return tuple(layers)


def read_known(call: LayerCall) -> tuple[RecurrentLayer, ...] | None:
    """Read like `read`, but return None if a cell would have to be traced."""
    if not all(map(_is_known, cells_of(call.layer))):
        return None
    return tuple(layer for layer in read(call) if isinstance(layer, RecurrentLayer))


def keys_of(call: LayerCall) -> list[StateKey]:
    """Return the keys of one call's states, with the names of the layers that `read` returns."""
    cells = cells_of(call.layer)
    names = [call.name if len(cells) == 1 else f"{call.name}_cell{i}" for i in range(len(cells))]
    counts = [len(state_shapes(cell)) for cell in cells]
    return [
        (name, role) for name, count in zip(names, counts, strict=True) for role in roles_of(count)
    ]


def cells_of(layer: Any) -> list[Any]:
    """Return the cells of an RNN layer, first to last."""
    stacked = type(layer.cell) in [x.StackedRNNCells for x in access.layer_modules()]
    return list(layer.cell.cells) if stacked else [layer.cell]


def activation_name(activation: Any) -> str | None:
    """Return Keras' name of an activation, or None if it is not one of Keras' functions."""
    if activation is None:
        return "linear"
    if isinstance(activation, keras.layers.Layer):
        return _name_of_layer(activation)
    try:
        return ALIASES.get(activation) or keras2.activation_name(activation)
    except TypeError:  # Keras' functions have a hash; this object has none
        return None


def _name_of_layer(layer: Any) -> str | None:
    """Return the name of the function that an activation layer computes, if it has one."""
    kind, facts = type(layer), layer.get_config()
    if kind is keras.layers.Activation:
        return activation_name(layer.activation)
    if kind is keras.layers.LeakyReLU and np.float32(facts["negative_slope"]) == np.float32(0.2):
        return "leaky_relu"
    if kind is keras.layers.ELU and facts["alpha"] == 1:
        return "elu"
    if kind is keras.layers.ReLU and not facts["negative_slope"] and not facts["threshold"]:
        return {None: "relu", 6: "relu6"}.get(facts["max_value"])
    return None


def _kind_of(cell: Any) -> str | None:
    """Return our name of a cell that is read weight by weight; None for any other cell."""
    return READ_CELLS.get(type(cell)) or keras2.read_cells().get(type(cell))


def _is_known(cell: Any) -> bool:
    own = (getattr(cell, name, None) for name in ("activation", "recurrent_activation"))
    return _kind_of(cell) is not None and None not in map(activation_name, own)


def _read_cell(cell: Any, facts: dict[str, Any]) -> RecurrentLayer:
    return RecurrentLayer(
        cell=_kind_of(cell) or "",
        units=int(cell.units),
        kernel=_value(cell.kernel, cell),
        recurrent_kernel=_value(cell.recurrent_kernel, cell),
        bias=_value(cell.bias, cell) if cell.use_bias else None,
        activation=activation_name(cell.activation) or "",
        recurrent_activation=activation_name(getattr(cell, "recurrent_activation", None)) or "",
        reset_after=bool(getattr(cell, "reset_after", False)),
        **facts,
    )


def _traced(
    cell: Any, width: tuple[int, ...], facts: dict[str, Any], training: bool
) -> TracedLayer:
    name = facts["name"]
    if None in width:
        raise UnsupportedModelError(
            "E-MODEL-OPEN-AXIS",
            f"layer '{name}': a custom cell needs steps of a fixed size, and theirs is {width};"
            " fix every axis after time",
        )
    step = traced_step(cell, name, width, training=training)
    return TracedLayer(
        cell=type(cell).__name__,
        units=step.output_shape[-1] if step.output_shape else 1,
        step=step.function,
        width=width,
        state_shapes=step.state_shapes,
        output_shape=step.output_shape,
        dtype=np.dtype(step.dtype),
        output_is_state=step.output_is_state,
        **facts,
    )


def _refusal_of(layer: Any) -> Refusal | None:
    if access.is_a(layer, "RNN"):
        return _refusal_of_recurrent(layer)
    if getattr(layer.dtype_policy, "quantization_mode", None) is not None:
        return Refusal(
            "E-MODEL-QUANTISED",
            layer.name,
            f"is quantised ({layer.dtype_policy.name})",
            "export the model before it is quantised",
        )
    if access.is_a(layer, *_LOOKS_UP):
        return Refusal(
            "E-MODEL-LOOKUP",
            layer.name,
            f"looks up or hashes its input ({type(layer).__name__})",
            "make a model that starts at the ids that this layer returns, and apply it outside",
        )
    return None


def _refusal_of_recurrent(layer: Any) -> Refusal | None:
    if not layer.built:
        return Refusal(
            "E-MODEL-UNBUILT",
            layer.name,
            "has no weights yet",
            "call the model once before exporting",
        )
    if not all(np.isfinite(weight.numpy()).all() for weight in layer.weights):
        return Refusal(
            "E-MODEL-NOT-FINITE",
            layer.name,
            "has weights that are NaN or infinite",
            "train the model again, or load an earlier checkpoint",
        )
    if runs_its_own_loop(layer) and layer.stateful:
        return Refusal(
            "E-MODEL-STATEFUL-LOOP",
            layer.name,
            f"is stateful and has a custom loop ({type(layer).__name__}.inner_loop)",
            "keep Keras' loop and write a custom cell",
        )
    return None


def _value(variable: Any, cell: Any) -> Weights:
    with tf.init_scope():
        return np.asarray(variable.numpy()).astype(cell.compute_dtype)
