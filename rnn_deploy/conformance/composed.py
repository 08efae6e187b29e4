"""Models composed at random: layers, options, masks, nesting, shapes.

    a chooser --described--> Description (plain values) --built--> a Keras model

A description is a dict of plain values, so a failing one can be printed, stored and built again.
The command chooses with `random.Random`, and the tests with hypothesis, which shrinks failures.
"""

from collections.abc import Callable, Sequence
from typing import Any

from rnn_deploy.conformance.custom_cells import CELLS
from rnn_deploy.keras.tensorflow import keras

Description = dict[str, Any]
Chooser = Callable[[Sequence[Any]], Any]

ACTIVATIONS = ("tanh", "tanh", "sigmoid", "relu", "hard_sigmoid", "softsign", "silu", "softmax")
GATES = ("sigmoid", "sigmoid", "hard_sigmoid", "tanh")
STAGES = (
    *("layer", "layer", "layer", "both", "cells", "own", "nested", "decoded"),
    *("dense", "norm", "distributed", "skip", "shared", "attended", "steps"),
)
OF_FIXED_LENGTH = ("repeated", "repeated")
LAST = ("steps", "last", "states", "pooled")


def described(choose: Chooser) -> Description:
    """Return the description of a model, with every choice left to `choose`."""
    ids = choose((False, False, True))
    time = choose((None, None, 5))
    kinds = STAGES if time is None else STAGES + OF_FIXED_LENGTH
    return {
        "ids": ids,
        "mask": choose((False, True)),
        "width": choose((1, 2, 3)),
        "batch": choose((None, None, None, 1, 3)),
        "time": time,
        "beside": choose((False, False, False, True)),
        "stages": [_stage(choose, kinds) for _ in range(choose((1, 2, 3, 4)))],
        "last": _recurrent(choose) | {"ends": choose(LAST)},
        "head": choose((None, "linear", "softmax", "gelu")),
        "also": choose((None, None, 1, 2)),
    }


def built(description: Description) -> Any:
    """Build the model of a description.

    Each stage reads the sequence `back` stages before the newest; "also" is one more output.
    """
    shape = (
        (description["time"],)
        if description["ids"]
        else (description["time"], description["width"])
    )
    dtype, batch = "int32" if description["ids"] else "float32", description["batch"]
    x = first = keras.Input(shape, batch, name="x", dtype=dtype)
    inputs = [first]
    if description["ids"]:
        x = keras.layers.Embedding(7, description["width"], mask_zero=description["mask"])(x)
    elif description["mask"]:
        x = keras.layers.Masking(-1.5)(x)
    if description["beside"]:
        inputs.append(keras.Input((description["time"], 2), batch, name="beside"))
        x = keras.layers.Concatenate()([x, inputs[1]])
    sequences = [x]
    for index, stage in enumerate(description["stages"]):
        sequences.append(_staged(stage, _back(sequences, stage["back"]), f"s{index}"))
    outputs = _ended(description["last"], sequences[-1])
    if description["head"] is not None:
        head = keras.layers.Dense(2, activation=description["head"], name="head")
        outputs = [head(outputs[0]), *outputs[1:]]
    if description["also"] is not None:
        also = keras.layers.Rescaling(2.0, name="also")
        outputs.append(also(_back(sequences, description["also"])))
    return keras.Model(inputs, outputs, name="composed")


def _stage(choose: Chooser, kinds: Sequence[str]) -> Description:
    kind = choose(kinds)
    stage = {"stage": kind, "back": choose((0, 0, 0, 1, 2))}
    if kind == "nested":
        within = [kind for kind in kinds if kind != "nested"]
        return stage | {"stages": [_stage(choose, within) for _ in range(choose((1, 2)))]}
    if kind == "cells":
        # Not one cell: behind a mask Keras itself fails for a list of one cell.
        return stage | {"cells": [_recurrent(choose) for _ in range(choose((2, 3)))]}
    if kind == "own":
        cell = choose(("echo", "peephole"))
        return stage | {"cell": cell, "backwards": choose((False, True))}
    if kind == "both":
        modes = ("concat", "sum", "mul", "ave")
        return stage | {"merge": choose(modes), "of": _recurrent(choose)}
    return stage | {"of": _recurrent(choose)}


def _recurrent(choose: Chooser) -> Description:
    activation = choose(ACTIVATIONS)
    return {
        "kind": choose(("SimpleRNN", "GRU", "LSTM")),
        # Keras warns about a softmax over one unit.
        "units": choose((2, 4) if activation == "softmax" else (1, 2, 4)),
        "activation": activation,
        "gates": choose(GATES),
        "bias": choose((True, True, False)),
        "reset_after": choose((True, False)),
        "backwards": choose((False, False, True)),
        "zero": choose((False, False, True)),
    }


def _staged(stage: Description, x: Any, name: str) -> Any:
    """Apply one stage to a sequence; return a sequence."""
    kind = stage["stage"]
    if kind == "nested":
        inner = keras.Input(x.shape[1:])
        within = [inner]
        for index, part in enumerate(stage["stages"]):
            within.append(_staged(part, _back(within, part["back"]), f"{name}_{index}"))
        return keras.Model(inner, within[-1], name=name)(x)
    if kind == "cells":
        cells = [_cell(each) for each in stage["cells"]]
        return keras.layers.RNN(cells, return_sequences=True, name=name)(x)
    if kind == "own":
        options = {"go_backwards": stage["backwards"], "return_sequences": True}
        return keras.layers.RNN(CELLS[stage["cell"]](3), name=name, **options)(x)
    if kind == "both":
        rnn = _layer(stage["of"] | {"backwards": False}, f"{name}_half", return_sequences=True)
        return keras.layers.Bidirectional(rnn, merge_mode=stage["merge"], name=name)(x)
    if kind == "decoded":
        recurrent = stage["of"] | {"backwards": False}
        _, *states = _layer(recurrent, f"{name}_encoder", return_state=True)(x)
        return _layer(recurrent, f"{name}_decoder", return_sequences=True)(x, initial_state=states)
    if kind == "dense":
        return keras.layers.Dense(3, activation="elu", name=name)(x)
    if kind == "norm":
        return keras.layers.LayerNormalization(name=name)(x)
    if kind == "distributed":
        inner = keras.layers.Dense(2, activation="tanh")
        return keras.layers.TimeDistributed(inner, name=name)(x)
    if kind == "repeated":
        last = _layer(stage["of"], f"{name}_rnn")(x)
        return keras.layers.RepeatVector(x.shape[1], name=name)(last)
    if kind == "steps":
        apart = keras.layers.Reshape((-1, x.shape[2], 1))(x)
        each = _layer(stage["of"], f"{name}_rnn")
        return keras.layers.TimeDistributed(each, name=name)(apart)
    rnn = _layer(stage["of"], f"{name}_rnn", return_sequences=True)
    y = rnn(x)
    if kind == "shared":
        return keras.layers.Concatenate(name=name)([y, rnn(keras.layers.Rescaling(0.5)(x))])
    if kind == "attended":
        return keras.layers.Attention(name=name)([y, y])
    return y if kind == "layer" else keras.layers.Concatenate(name=name)([x, y])


def _back(sequences: Sequence[Any], count: int) -> Any:
    """Return the sequence `count` before the newest, or the first one."""
    return sequences[max(len(sequences) - 1 - count, 0)]


def _ended(last: Description, x: Any) -> list[Any]:
    ends = last["ends"]
    sequences = ends in ("steps", "pooled")
    y = _layer(last, "last", return_sequences=sequences, return_state=ends == "states")(x)
    if ends == "pooled":
        return [keras.layers.GlobalMaxPooling1D()(y)]
    return list(y) if ends == "states" else [y]


def _layer(recurrent: Description, name: str, **options: Any) -> Any:
    own = {"go_backwards": recurrent["backwards"], "zero_output_for_mask": recurrent["zero"]}
    return getattr(keras.layers, recurrent["kind"])(
        recurrent["units"], name=name, **_cell_options(recurrent), **own, **options
    )


def _cell(recurrent: Description) -> Any:
    return getattr(keras.layers, f"{recurrent['kind']}Cell")(
        recurrent["units"], **_cell_options(recurrent)
    )


def _cell_options(recurrent: Description) -> dict[str, Any]:
    options = {"activation": recurrent["activation"], "use_bias": recurrent["bias"]}
    if recurrent["kind"] != "SimpleRNN":
        options["recurrent_activation"] = recurrent["gates"]
    if recurrent["kind"] == "GRU":
        options["reset_after"] = recurrent["reset_after"]
    return options
