"""Measure the effect of rounding: run a runtime again with the last bit of each input changed."""

from collections.abc import Mapping

import numpy as np

from rnn_deploy.spec import Array, EntryPoint
from rnn_deploy.verifying.judge.distance import errors

LAST_BIT = 2.0**-23


Values = Mapping[str, Array]


def nudge(entry: EntryPoint, feeds: Values) -> dict[str, Array]:
    """Return inputs and initial states with the last bit of every float changed.

    Initial states that are missing, so zero, become the last bit of one.
    """
    rows = rows_of(feeds)
    nudged = {}
    for tensor in entry.all_inputs:
        value = feeds.get(tensor.name)
        if value is None:
            shape = [dim if isinstance(dim, int) else rows for dim in tensor.shape]
            value = np.full(shape, LAST_BIT, tensor.dtype)
        elif value.dtype.kind == "f" and tensor.below is None:
            factors = np.resize(1 + LAST_BIT * np.array([1.0, -1.0, 1.0]), value.shape)
            value = np.multiply(value, factors).astype(value.dtype)
        nudged[tensor.name] = value
    return nudged


def largest_changes(plain: Values, nudged: Values) -> dict[str, float]:
    """Return the largest change of each tensor."""
    return {n: float(errors(nudged[n], value).max(initial=0.0)) for n, value in plain.items()}


def steady_values(values: Values, rounding: Mapping[str, float]) -> dict[str, Array]:
    """Return the values without integers and truth values that rounding changes."""
    return {n: v for n, v in values.items() if v.dtype.kind == "f" or not rounding.get(n)}


def all_finite(values: Values) -> bool:
    return all(v.dtype.kind != "f" or bool(np.isfinite(v).all()) for v in values.values())


def rows_of(feeds: Values) -> int:
    """Return the number of rows of a batch."""
    return int(next(iter(feeds.values())).shape[0])
