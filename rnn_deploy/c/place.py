"""Where C statements are written, and the statements that most nodes share."""

from typing import Protocol

import numpy as np

from rnn_deploy.c.ir import Float, Node, Value
from rnn_deploy.c.layers import SOFTMAX
from rnn_deploy.c.weights import WeightTable

Lines = list[str]


class Place(Protocol):
    """Where statements are written: what they may refer to."""

    weights: WeightTable

    def ref(self, value: Value) -> str: ...

    def mask(self, value: Value) -> str: ...

    def counts(self, x: Value, value: float) -> str: ...

    def state(self, node: Node, role: str) -> str: ...

    def scratch(self, floats: int) -> str: ...

    def use(self, block: str, act: str = "", gate: str = "") -> str: ...


def filled(bias: Float | None, name: str, target: str, size: int, place: Place) -> Lines:
    if bias is None or not bias.any():
        return [f"memset({target}, 0, {size} * sizeof(float));"]
    return [f"memcpy({target}, {place.weights.add(name, bias)}, {size} * sizeof(float));"]


def product(name: str, kernel: Float, x: str, target: str, place: Place) -> str:
    matrix = place.weights.matrix(name, kernel)
    function = place.use(f"product{matrix.kind}")
    return f"{function}({matrix.arguments}, {x}, {matrix.rows}, {matrix.columns}, {target});"


def activated(name: str, x: str, y: str, size: int, place: Place) -> Lines:
    """y = activation of x, which may be y."""
    if name == "linear":
        return [] if x == y else [f"memcpy({y}, {x}, {size} * sizeof(float));"]
    if name == SOFTMAX:
        copied = activated("linear", x, y, size, place)
        return [*copied, f"{place.use('softmax')}({y}, {size});"]
    return [f"{place.use('map', name)}({x}, {y}, {size});"]


def number(value: float) -> str:
    """Return a float32 constant, exact."""
    return f"{float(np.float32(value)).hex()}f"
