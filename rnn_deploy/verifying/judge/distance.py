"""The distance of two tensors, element by element; NaN and infinity only match themselves."""

import numpy as np
from numpy.typing import NDArray

from rnn_deploy.spec import Array

Floats = NDArray[np.float64]


def errors(actual: Array, truth: Array) -> Floats:
    """Return the absolute error of every element: infinite where only one is NaN or infinite.

    Integers that differ have an error of at least 1, however large they are.
    """
    a, t = actual.astype(np.float64), truth.astype(np.float64)
    with np.errstate(invalid="ignore"):
        difference = np.abs(a - t)
    if actual.dtype.kind in "iub" and truth.dtype.kind in "iub":
        same, difference = actual == truth, np.maximum(difference, 1.0)
    else:
        same = (a == t) | (np.isnan(a) & np.isnan(t))
    return np.where(same, 0.0, np.where(np.isfinite(difference), difference, np.inf))


def max_abs_error(actual: Array, truth: Array) -> float:
    """Return the largest absolute error; infinite when shapes differ."""
    if actual.shape != truth.shape:
        return float("inf")
    return float(errors(actual, truth).max(initial=0.0))


def magnitude(value: Array) -> float:
    """Return the largest finite magnitude in an array, 0 if it holds no finite value."""
    finite = np.abs(value[np.isfinite(value)])
    return float(finite.max()) if finite.size else 0.0
