"""What a layer costs on ONNX Runtime's CPU provider, by lowering and shape: a fit to measurements.

    microseconds of one call = sum of coefficient * feature

The features are what the time is known to go into (`features`), the coefficients were fitted by
scripts/fit_costs.py, which also says how far off they are; docs/lowerings.md shows it. They are of
one machine and one thread; choices rest on their ratios alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

from rnn_deploy.layouts import GATES
from rnn_deploy.shapes import Shape
from rnn_deploy.spec import Recurrence, RecurrentLayer

# ONNX Runtime's operator RNN computes these in vectors, other activations one number at a time.
PLAIN = ("relu", "linear")
Kind = tuple[str, str, bool, str]  # cell, activation, masked, lowering


@dataclass(frozen=True)
class Size:
    """What decides the cost of a call: gates and units of the cell, inputs, batch, steps."""

    gates: int
    units: int
    width: int
    batch: int
    time: int


def features(lowering: str, size: Size) -> tuple[float, ...]:
    """What the time of a call goes into.

    The call; each step; activations (thousands); recurrent products in millions of weights: of a
    vector, of a matrix (reading the weights, and per row of the batch); the product for the inputs
    of all steps. The operator RNN makes no product for a first step from zero, GRU and LSTM do.
    """
    n, t, h = size.batch, size.time, size.units
    products = t - 1 if lowering == "native" and size.gates == GATES["simple_rnn"] else t
    weights = products * size.gates * h * h / 1e6
    vector, matrix = (weights, 0.0) if n == 1 else (0.0, weights)
    activations = n * t * size.gates * h / 1e3
    return (1, t, activations, vector, matrix, n * matrix, activations * size.width / 1e3)


def gain(layer: Recurrence, one: str, other: str, expected: Sequence[Shape]) -> float | None:
    """How many times as fast lowering `one` is as `other`: the geometric mean over the shapes.

    None where it is not known.
    """
    if not isinstance(layer, RecurrentLayer) or not expected:
        return None
    logs = []
    for shape in expected:
        costs = [microseconds(layer, lowering, shape) for lowering in (one, other)]
        if costs[0] is None or costs[1] is None:
            return None
        logs.append(log(costs[1] / costs[0]))
    return exp(sum(logs) / len(logs))


def microseconds(layer: RecurrentLayer, lowering: str, shape: Shape) -> float | None:
    """The cost of one call; None for a form that was not measured."""
    simple = layer.cell == "simple_rnn"
    activation = "relu" if simple and layer.activation in PLAIN else "tanh"
    coefficients = COSTS.get((layer.cell, activation, layer.masked, lowering))
    if coefficients is None:
        return None
    # Within a TimeDistributed every step of every sequence is a sequence of its own.
    batch = shape.batch * (shape.time if layer.within_step else 1)
    size = Size(GATES[layer.cell], layer.units, layer.width, batch, layer.steps or shape.time)
    return sum(c * f for c, f in zip(coefficients, features(lowering, size), strict=True))


COSTS: dict[Kind, tuple[float, ...]] = {
    ("simple_rnn", "tanh", False, "native"): (7.41, 0.174, 7.05, 41, 28.7, 36.5, 24.6),
    ("simple_rnn", "tanh", False, "scan"): (10.3, 0.745, 1.5, 43.5, 2.11, 16.9, 18.7),
    ("simple_rnn", "tanh", True, "native"): (19.9, 0.244, 9.86, 35.7, 22.5, 32.7, 0),
    ("simple_rnn", "tanh", True, "scan"): (12.4, 2.13, 2.69, 43.6, 6.18, 14.9, 0),
    ("simple_rnn", "relu", False, "native"): (7.54, 0.178, 3.22, 37.7, 74, 18.3, 22.6),
    ("simple_rnn", "relu", False, "scan"): (10.5, 0.733, 1.13, 43, 3.24, 16.9, 19.5),
    ("simple_rnn", "relu", True, "native"): (20.4, 0.25, 5.39, 34.1, 74.4, 15, 0),
    ("simple_rnn", "relu", True, "scan"): (12.7, 2.07, 2.18, 43.3, 3.97, 15.5, 0),
    ("gru", "tanh", False, "native"): (9.68, 0.165, 2.7, 40.9, 0, 15.5, 20.2),
    ("gru", "tanh", False, "scan"): (11, 5.31, 1.34, 52.8, 4.78, 17.8, 19.6),
    ("gru", "tanh", True, "native"): (23.7, 0.202, 4.12, 38.4, 1.85, 14.2, 0),
    ("gru", "tanh", True, "scan"): (13.2, 6.65, 2.15, 54.8, 11.4, 16.5, 0),
    ("lstm", "tanh", False, "native"): (10.6, 0.145, 1.49, 41.9, 1.1, 15.2, 20.2),
    ("lstm", "tanh", False, "scan"): (11.1, 5.25, 1.37, 52.7, 5.25, 17.4, 19.5),
    ("lstm", "tanh", True, "native"): (23.1, 0.192, 2.2, 42.6, 0, 16.4, 0),
    ("lstm", "tanh", True, "scan"): (14.1, 7.45, 2.16, 53.9, 0, 19.1, 0),
}
