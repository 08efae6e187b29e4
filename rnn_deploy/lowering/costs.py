"""What a layer costs on ONNX Runtime's CPU provider, by lowering and shape: a fit to measurements.

    microseconds of one call = sum of coefficient * feature

The features are what the time is known to go into (`features`), the coefficients were fitted by
scripts/fit_costs.py, which also says how far off they are; docs/lowerings.md shows it. They are of
one machine and one thread; choices rest on their ratios alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

from rnn_deploy.shapes import Shape
from rnn_deploy.spec import Recurrence, RecurrentLayer

GATES = {"simple_rnn": 1, "gru": 3, "lstm": 4}
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
    of all steps. The operators make no product for a first step from zero.
    """
    n, t, h = size.batch, size.time, size.units
    products = t - 1 if lowering == "native" else t
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
    ("simple_rnn", "tanh", False, "native"): (7.41, 0.178, 6.97, 39.1, 17.5, 36.5, 26.8),
    ("simple_rnn", "tanh", False, "scan"): (9.47, 1.25, 1.59, 43.1, 0.201, 16.7, 20.6),
    ("simple_rnn", "tanh", True, "native"): (20.4, 0.237, 9.59, 36.8, 0, 40.1, 0),
    ("simple_rnn", "tanh", True, "scan"): (12.2, 2.35, 2.62, 42.4, 1.88, 16.2, 0),
    ("simple_rnn", "relu", False, "native"): (7.47, 0.186, 3.16, 37, 69.3, 19, 23.4),
    ("simple_rnn", "relu", False, "scan"): (9.56, 1.24, 1.37, 43.6, 1.28, 16.7, 20.8),
    ("simple_rnn", "relu", True, "native"): (20.4, 0.26, 5.18, 34.9, 47.5, 25.4, 0),
    ("simple_rnn", "relu", True, "scan"): (11.8, 2.33, 2.46, 43.7, 0, 17.4, 0),
    ("gru", "tanh", False, "native"): (9.95, 0.116, 3.35, 39.2, 0, 15.9, 23.4),
    ("gru", "tanh", False, "scan"): (9.49, 6.38, 1.71, 58.7, 5.95, 20.5, 21.7),
    ("gru", "tanh", True, "native"): (24.2, 0.153, 4.67, 36.6, 1.9, 10.2, 0),
    ("gru", "tanh", True, "scan"): (12.3, 7.38, 2.61, 49.6, 9.03, 15.8, 0),
    ("lstm", "tanh", False, "native"): (11, 0.098, 1.92, 39.8, 0, 15.4, 23.5),
    ("lstm", "tanh", False, "scan"): (9.61, 6.09, 1.4, 56.8, 3.22, 20.8, 22.4),
    ("lstm", "tanh", True, "native"): (25.6, 0.142, 2.64, 40.3, 1.55, 13.1, 0),
    ("lstm", "tanh", True, "scan"): (13.5, 8.74, 1.92, 52.7, 0.625, 18.3, 0),
}
