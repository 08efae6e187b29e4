"""One tensor against its true value, NaN-strict."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rnn_deploy.spec import Array

Kind = Literal["output", "state"]


@dataclass(frozen=True)
class Comparison:
    """One tensor of one check of one case on one runtime, against the truth.

    max_abs: the largest absolute error; infinite where NaN, infinities or shapes differ.
    max_ulp: the largest error in units in the last place of float32.
    reference_error: TensorFlow's own error, None without an oracle.
    worst_index: where the largest error is. found, expected: the values there. detail: how it
    was run, where a check runs a case more than once. decisive: whether a budget so wide still
    tells right from wrong. known: why a difference is expected of this runtime, if it is. finite:
    the truth holds a number at all, not NaN or infinity alone. files: what the runtime ran for it.
    """

    runtime: str
    check: str
    case: str
    name: str
    kind: Kind
    max_abs: float
    max_ulp: float
    budget: float
    reference_error: float | None
    worst_index: tuple[int, ...]
    found: float
    expected: float
    detail: str = ""
    decisive: bool = True
    known: str = ""
    finite: bool = True
    files: tuple[str, ...] = ()

    @property
    def within(self) -> bool:
        """Within the budget; never so for NaN, nor where TensorFlow's own error is infinite."""
        return self.max_abs <= self.budget < math.inf

    @property
    def passed(self) -> bool:
        """Within the budget, or different in a way that is known of the runtime and said."""
        return self.within or bool(self.known)


def errors(actual: Array, truth: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The absolute error of every element: infinite where only one is NaN or infinite.

    Of integers that differ it is at least 1, however large they are.
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
    """The largest absolute error; infinite when shapes differ."""
    if actual.shape != truth.shape:
        return float("inf")
    return float(errors(actual, truth).max(initial=0.0))


def compare(
    actual: Array,
    truth: Array,
    *,
    runtime: str,
    check: str,
    case: str,
    name: str,
    kind: Kind,
    budget: float,
    reference_error: float | None,
    rtol: float = 0.0,
    bound: Array | None = None,
    detail: str = "",
    decisive: bool = True,
    files: tuple[str, ...] = (),
) -> Comparison:
    """Compare one tensor; a difference in shape is an infinite error.

    rtol: beside the budget, so much of each true value is allowed. bound: what is allowed of each
    element, in place of both; the budget told is then that of the worst element.
    """
    worst: tuple[int, ...] = ()
    found = expected = float("nan")
    if actual.shape != truth.shape:
        max_abs = max_ulp = float("inf")
        finite = True
    elif not truth.size:  # nothing where nothing is due: right, and proof of nothing
        max_abs = max_ulp = 0.0
        finite = False
    else:
        finite = bool(np.isfinite(truth).any())
        error = errors(actual, truth)
        limits = limits_of(truth, budget, rtol, bound)
        worst = _worst(error, limits)
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite there
            ulp = np.spacing(np.abs(truth).astype(np.float32)).astype(np.float64)
        max_abs = float(error[worst])
        max_ulp = float(np.where(error == 0, 0.0, error / np.where(ulp > 0, ulp, 1.0)).max())
        found, expected = float(actual[worst]), float(truth[worst])
        budget = float(limits[worst])
    return Comparison(
        runtime, check, case, name, kind, max_abs, max_ulp,
        budget, reference_error, worst, found, expected, detail, decisive, "", finite, files,
    )  # fmt: skip


def limits_of(
    truth: Array, budget: float, rtol: float = 0.0, bound: Array | None = None
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """What is allowed of each element."""
    if bound is not None:
        return np.broadcast_to(bound.astype(np.float64), truth.shape)
    if not rtol:
        return np.full(truth.shape, budget)
    sizes = np.abs(truth.astype(np.float64))
    return budget + rtol * np.where(np.isfinite(sizes), sizes, 0.0)


def _worst(
    error: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    limits: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> tuple[int, ...]:
    """Where the error is largest, measured by what is allowed there."""
    with np.errstate(divide="ignore", invalid="ignore"):
        used = np.where(error == 0, 0.0, error / limits)
    even = bool((limits == limits.flat[0]).all())
    place = int((error if even else used).argmax())
    return tuple(int(i) for i in np.unravel_index(place, error.shape))
