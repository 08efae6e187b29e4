"""Models composed at random: layers, options, masks, nesting, shapes.

    a chooser --described--> Description (plain values) --built--> a Keras model

A description is a dict of plain values, so one that fails can be printed, stored and built again.
Who chooses is left open: `random.Random` for a command, hypothesis for tests that shrink.
"""

from collections.abc import Callable, Sequence
from typing import Any

from rnn_deploy.conformance.own import CELLS
from rnn_deploy.source.tensorflow import keras

Description = dict[str, Any]
Chooser = Callable[[Sequence[Any]], Any]

ACTIVATIONS = ("tanh", "tanh", "sigmoid", "relu", "hard_sigmoid", "softsign", "silu", "softmax")
GATES = ("sigmoid", "sigmoid", "hard_sigmoid", "tanh")
STAGES = (
    *("layer", "layer", "layer", "both", "cells", "own", "nested", "decoded"),
    *("dense", "norm", "distributed", "skip"),
)
LAST = ("steps", "last", "states", "pooled")


def described(choose: Chooser) -> Description:
    """Choose a model."""
    ids = choose((False, False, True))
    return {
        "ids": ids,
        "mask": choose((False, True)),
        "width": choose((1, 2, 3)),
        "time": choose((None, None, None, 5)),
        "beside": choose((False, False, False, True)),
        "stages": [_stage(choose, nested=False) for _ in range(choose((1, 2, 3)))],
        "last": _recurrent(choose) | {"ends": choose(LAST)},
        "head": choose((None, "linear", "softmax", "gelu")),
    }


def built(what: Description) -> Any:
    """The model that a description describes."""
    shape = (what["time"],) if what["ids"] else (what["time"], what["width"])
    x = first = keras.Input(shape, name="x", dtype="int32" if what["ids"] else "float32")
    inputs = [first]
    if what["ids"]:
        x = keras.layers.Embedding(7, what["width"], mask_zero=what["mask"])(x)
    elif what["mask"]:
        x = keras.layers.Masking(-1.5)(x)
    if what["beside"]:
        inputs.append(keras.Input((what["time"], 2), name="beside"))
        x = keras.layers.Concatenate()([x, inputs[1]])
    for index, stage in enumerate(what["stages"]):
        x = _staged(stage, x, f"s{index}")
    outputs = _ended(what["last"], x)
    if what["head"] is not None:
        head = keras.layers.Dense(2, activation=what["head"], name="head")
        outputs = [head(outputs[0]), *outputs[1:]]
    return keras.Model(inputs, outputs, name="composed")


def _stage(choose: Chooser, *, nested: bool) -> Description:
    kind = choose([s for s in STAGES if not (nested and s == "nested")])
    if kind == "nested":
        count = choose((1, 2))
        return {"stage": kind, "stages": [_stage(choose, nested=True) for _ in range(count)]}
    if kind == "cells":
        # Not one: behind a mask Keras itself fails over a list of one cell.
        return {"stage": kind, "cells": [_recurrent(choose) for _ in range(choose((2, 3)))]}
    if kind == "own":
        cell = choose(("echo", "peephole"))
        return {"stage": kind, "cell": cell, "backwards": choose((False, True))}
    if kind == "both":
        modes = ("concat", "sum", "mul", "ave")
        return {"stage": kind, "merge": choose(modes), "of": _recurrent(choose)}
    return {"stage": kind, "of": _recurrent(choose)}


def _recurrent(choose: Chooser) -> Description:
    activation = choose(ACTIVATIONS)
    return {
        "kind": choose(("SimpleRNN", "GRU", "LSTM")),
        # Keras warns of a softmax over one unit.
        "units": choose((2, 4) if activation == "softmax" else (1, 2, 4)),
        "activation": activation,
        "gates": choose(GATES),
        "bias": choose((True, True, False)),
        "reset_after": choose((True, False)),
        "backwards": choose((False, False, True)),
        "zero": choose((False, False, True)),
    }


def _staged(stage: Description, x: Any, name: str) -> Any:
    """One stage over a sequence; what comes out is a sequence again."""
    kind = stage["stage"]
    if kind == "nested":
        inner = keras.Input(x.shape[1:])
        y = inner
        for index, part in enumerate(stage["stages"]):
            y = _staged(part, y, f"{name}_{index}")
        return keras.Model(inner, y, name=name)(x)
    if kind == "cells":
        cells = [_cell(of) for of in stage["cells"]]
        return keras.layers.RNN(cells, return_sequences=True, name=name)(x)
    if kind == "own":
        options = {"go_backwards": stage["backwards"], "return_sequences": True}
        return keras.layers.RNN(CELLS[stage["cell"]](3), name=name, **options)(x)
    if kind == "both":
        rnn = _layer(stage["of"] | {"backwards": False}, f"{name}_half", return_sequences=True)
        return keras.layers.Bidirectional(rnn, merge_mode=stage["merge"], name=name)(x)
    if kind == "decoded":
        of = stage["of"] | {"backwards": False}
        _, *states = _layer(of, f"{name}_encoder", return_state=True)(x)
        return _layer(of, f"{name}_decoder", return_sequences=True)(x, initial_state=states)
    if kind == "dense":
        return keras.layers.Dense(3, activation="elu", name=name)(x)
    if kind == "norm":
        return keras.layers.LayerNormalization(name=name)(x)
    if kind == "distributed":
        inner = keras.layers.Dense(2, activation="tanh")
        return keras.layers.TimeDistributed(inner, name=name)(x)
    y = _layer(stage["of"], f"{name}_rnn", return_sequences=True)(x)
    return y if kind == "layer" else keras.layers.Concatenate(name=name)([x, y])


def _ended(last: Description, x: Any) -> list[Any]:
    ends = last["ends"]
    sequences = ends in ("steps", "pooled")
    y = _layer(last, "last", return_sequences=sequences, return_state=ends == "states")(x)
    if ends == "pooled":
        return [keras.layers.GlobalMaxPooling1D()(y)]
    return list(y) if ends == "states" else [y]


def _layer(of: Description, name: str, **options: Any) -> Any:
    own = {"go_backwards": of["backwards"], "zero_output_for_mask": of["zero"]}
    return getattr(keras.layers, of["kind"])(
        of["units"], name=name, **_cell_options(of), **own, **options
    )


def _cell(of: Description) -> Any:
    return getattr(keras.layers, f"{of['kind']}Cell")(of["units"], **_cell_options(of))


def _cell_options(of: Description) -> dict[str, Any]:
    options = {"activation": of["activation"], "use_bias": of["bias"]}
    if of["kind"] != "SimpleRNN":
        options["recurrent_activation"] = of["gates"]
    if of["kind"] == "GRU":
        options["reset_after"] = of["reset_after"]
    return options
