"""The common faults of a recurrent layer, each as a layer that has the fault.

A suspect is one call of a layer with one fault; `explain` compares its results with a runtime's.
Gates have the names that the literature uses (cells.py).
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np

from rnn_deploy.numerics.cells import ACTIVATIONS, MISTAKEN, LayerRun
from rnn_deploy.spec import RecurrentLayer, Weights

GATES = {"simple_rnn": "h", "gru": "zrh", "lstm": "ifco"}
USUAL = ("tanh", "sigmoid", "hard_sigmoid", "relu", "linear")

Suspect = tuple[str, LayerRun]


def suspects(true: LayerRun) -> Iterator[Suspect]:
    """Yield every suspect of one call, the likeliest first."""
    (layer,) = true.layers
    for name, altered in (*_gates(layer), *_options(layer), *_weights(layer)):
        yield name, replace(true, layers=(altered,))
    yield from _states(true)
    yield from _masks(true)
    yield from _order(true)


def _gates(layer: RecurrentLayer) -> Iterator[tuple[str, RecurrentLayer]]:
    gates = GATES[layer.cell]
    usual = tuple(range(len(gates)))
    for order in permutations(usual):
        moved = [gate for gate, now in zip(usual, order, strict=True) if gate != now]
        if len(moved) == 2:
            name = f"gates {gates[moved[0]]} and {gates[moved[1]]} are swapped"
        else:
            name = f"gates are in the order {', '.join(gates[gate] for gate in order)}"
        if moved:
            yield name, _by_gate(layer, order)


def _by_gate(layer: RecurrentLayer, order: tuple[int, ...]) -> RecurrentLayer:
    def moved(value: Weights) -> Weights:
        parts = np.split(value, len(order), axis=-1)
        return np.concatenate([parts[gate] for gate in order], axis=-1)

    return replace(
        layer,
        kernel=moved(layer.kernel),
        recurrent_kernel=moved(layer.recurrent_kernel),
        bias=None if layer.bias is None else moved(layer.bias),
    )


def _options(layer: RecurrentLayer) -> Iterator[tuple[str, RecurrentLayer]]:
    if layer.cell == "gru":
        now = "before" if layer.reset_after else "after"
        name = f"the reset gate is applied {now} the product (reset_after, linear_before_reset)"
        yield name, replace(layer, reset_after=not layer.reset_after)
        if layer.reset_after and layer.bias is not None:  # as in ONNX: both biases are added
            bias = layer.bias.copy()
            bias[0, -layer.units :] += bias[1, -layer.units :]
            yield name, replace(layer, reset_after=False, bias=bias)
    for option in ("recurrent_activation", "activation"):
        for other in (*MISTAKEN, *USUAL, *ACTIVATIONS):
            right = getattr(layer, option)
            if other != right and (option == "activation" or layer.cell != "simple_rnn"):
                changed: dict[str, Any] = {option: other}
                yield f"{option} is {other} instead of {right}", replace(layer, **changed)


def _weights(layer: RecurrentLayer) -> Iterator[tuple[str, RecurrentLayer]]:
    if layer.bias is not None:
        yield "the bias is missing", replace(layer, bias=None)
        for row, product in enumerate(("input", "recurrent") if layer.bias.ndim == 2 else ()):
            without = layer.bias.copy()
            without[row] = 0
            yield f"the bias of the {product} product is missing", replace(layer, bias=without)
    parts = np.split(layer.recurrent_kernel, len(GATES[layer.cell]), axis=1)
    turned = np.concatenate([part.T for part in parts], axis=1)
    yield "the recurrent kernel is transposed", replace(layer, recurrent_kernel=turned)
    for name, cut in (("bfloat16", _bfloat16), ("bfloat16, cut", _cut), ("float16", _float16)):
        rounded = replace(
            layer,
            kernel=cut(layer.kernel),
            recurrent_kernel=cut(layer.recurrent_kernel),
            bias=None if layer.bias is None else cut(layer.bias),
        )
        yield f"the weights are {name} instead of float32", rounded


def _states(true: LayerRun) -> Iterator[Suspect]:
    none = tuple(np.zeros_like(state) for state in true.before)
    yield "the initial state is ignored, zero is used", replace(true, before=none)
    if len(true.before) == 2:
        yield "the states h and c are swapped", replace(true, before=true.before[::-1])


def _masks(true: LayerRun) -> Iterator[Suspect]:
    if true.mask is None:
        return
    yield "the mask is ignored", replace(true, mask=np.ones_like(true.mask))
    yield "the mask is inverted: steps that count are skipped", replace(true, mask=~true.mask)
    for by, direction in ((1, "late"), (-1, "early")):
        for edge in (False, True):
            moved = np.roll(true.mask, by, axis=1)
            moved[:, 0 if by > 0 else -1] = edge
            yield f"the mask is off by one, a step too {direction}", replace(true, mask=moved)


def _order(true: LayerRun) -> Iterator[Suspect]:
    if true.x.shape[1] > 1:
        yield "the sequence is run in the other direction", replace(true, x=true.x[:, ::-1])
        yield (
            "the input is off by one, a step too late",
            replace(true, x=np.concatenate([true.x[:, :1], true.x[:, :-1]], axis=1)),
        )
        yield (
            "the last step is missing",
            replace(true, x=true.x[:, :-1], mask=None if true.mask is None else true.mask[:, :-1]),
        )


def _bfloat16(value: Weights) -> Weights:
    """Round to the nearest bfloat16, ties to even."""
    bits = value.astype(np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded & np.uint32(0xFFFF0000)).view(np.float32)


def _cut(value: Weights) -> Weights:
    return (value.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def _float16(value: Weights) -> Weights:
    return value.astype(np.float16).astype(np.float32)
