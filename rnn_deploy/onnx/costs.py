"""The cost of a layer on ONNX Runtime's CPU provider, by lowering and shape: a fit to measurements.

    microseconds of one call = sum of coefficient * feature

The features are the quantities on which the time depends (`features`). scripts/fit_costs.py fitted
the coefficients and prints their errors; docs/internals/lowerings.md has the results. They are from
one machine and one thread; choices depend only on their ratios.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

from rnn_deploy.numerics.layouts import GATES
from rnn_deploy.spec import Recurrence, RecurrentLayer
from rnn_deploy.spec.shapes import Shape

# ONNX Runtime's operator RNN computes these in vectors, other activations one number at a time.
PLAIN = ("relu", "linear")
Kind = tuple[str, str, bool, str]  # cell, activation, masked, lowering


@dataclass(frozen=True)
class CallSize:
    """The sizes that determine the cost of a call: gates and units, inputs, batch, steps."""

    gates: int
    units: int
    width: int
    batch: int
    time: int


def features(lowering: str, size: CallSize) -> tuple[float, ...]:
    """Return the quantities on which the time of a call depends.

    They are: the call; each step; activations (thousands); recurrent products in millions of
    weights: of a vector, of a matrix (reading the weights, and per row of the batch); the product
    for the inputs of all steps. The operator RNN skips the product of a first step from zero; GRU
    and LSTM do not.
    """
    n, t, h = size.batch, size.time, size.units
    products = t - 1 if lowering == "native" and size.gates == GATES["simple_rnn"] else t
    weights = products * size.gates * h * h / 1e6
    vector, matrix = (weights, 0.0) if n == 1 else (0.0, weights)
    activations = n * t * size.gates * h / 1e3
    return (1, t, activations, vector, matrix, n * matrix, activations * size.width / 1e3)


def gain(layer: Recurrence, one: str, other: str, expected: Sequence[Shape]) -> float | None:
    """Return the speed of lowering `one` relative to `other`: the geometric mean over the shapes.

    None if it is unknown.
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
    """Return the cost of one call; None for a form that was not measured."""
    simple = layer.cell == "simple_rnn"
    activation = "relu" if simple and layer.activation in PLAIN else "tanh"
    coefficients = COSTS.get((layer.cell, activation, layer.masked, lowering))
    if coefficients is None:
        return None
    # Within a TimeDistributed every step of every sequence is a row.
    batch = shape.batch * (shape.time if layer.within_step else 1)
    size = CallSize(GATES[layer.cell], layer.units, layer.width, batch, layer.steps or shape.time)
    return sum(c * f for c, f in zip(coefficients, features(lowering, size), strict=True))


COSTS: dict[Kind, tuple[float, ...]] = {
    ("simple_rnn", "tanh", False, "native"): (4.79, 0.1, 10.4, 32.6, 69.2, 9.86, 13.2),
    ("simple_rnn", "tanh", False, "scan"): (7.29, 0.65, 0.782, 32.9, 8.88, 7.55, 10.2),
    ("simple_rnn", "tanh", True, "native"): (14, 0.113, 13, 28.6, 70.1, 5.77, 0),
    ("simple_rnn", "tanh", True, "scan"): (8.35, 1.75, 1.62, 31.8, 9.39, 6.82, 0),
    ("simple_rnn", "relu", False, "native"): (5.42, 0.0835, 2.7, 31, 68.3, 7.71, 11.8),
    ("simple_rnn", "relu", False, "scan"): (7.41, 0.604, 0.655, 32.4, 8.94, 7.28, 9.63),
    ("simple_rnn", "relu", True, "native"): (14.9, 0.138, 4.11, 27.9, 65.4, 6, 0),
    ("simple_rnn", "relu", True, "scan"): (8.48, 1.7, 1.35, 30.7, 9.34, 6.5, 0),
    ("gru", "tanh", False, "native"): (7.04, 0.119, 1.76, 32.1, 9.69, 6.76, 9.71),
    ("gru", "tanh", False, "scan"): (7.33, 4.54, 0.832, 40.2, 14.1, 7.82, 9.11),
    ("gru", "tanh", True, "native"): (16.7, 0.156, 2.39, 29.9, 8.59, 5.97, 0),
    ("gru", "tanh", True, "scan"): (8.5, 5.49, 1.23, 37.9, 14.6, 7.09, 0),
    ("lstm", "tanh", False, "native"): (7.61, 0.115, 0.984, 33.1, 11, 6.72, 9.67),
    ("lstm", "tanh", False, "scan"): (7.42, 4.46, 0.779, 41.8, 15.8, 8.34, 9.13),
    ("lstm", "tanh", True, "native"): (16.1, 0.161, 1.31, 32.7, 0.66, 7.07, 0),
    ("lstm", "tanh", True, "scan"): (8.63, 6.31, 1.37, 38.6, 13.6, 7.35, 0),
}
