"""Compare one tensor with its true value, NaN-strict."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np

from rnn_deploy.spec import Array
from rnn_deploy.verifying.judge.distance import Floats, errors
from rnn_deploy.verifying.judge.tolerance import Budget

Kind = Literal["output", "state"]
AGAINST = " against "  # in the detail of a comparison with another result of the same runtime


@dataclass(frozen=True)
class ComparisonContext:
    """The tensor to compare: its runtime, check and golden case, and how it was computed.

    detail: how the case was run, if the check runs it more than once. files: the model files, or
    signatures of one, that computed the tensor.
    """

    runtime: str
    check: str
    case: str
    name: str
    kind: Kind
    detail: str = ""
    files: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class TensorPair:
    """A runtime's tensor and its true value; both of one shape, unless the runtime is wrong."""

    actual: Array
    truth: Array


@dataclass(frozen=True)
class Comparison:
    """The result of comparing one tensor of one check of one case on one runtime.

    max_abs: the largest absolute error, in the tensor's own unit; infinite where NaN, infinities or
    shapes differ. max_ulp: the largest error in units in the last place of float32. budget: the
    largest absolute error allowed for the worst element. reference_error: TensorFlow's own largest
    error, None without an oracle. reference_error_there: its error at the worst element, None if
    the values are not compared with the oracle's. worst_index: the place of the worst element;
    found, expected: the two values there. detail: how the case was run, if the check runs it more
    than once. decisive: False if the budget is too wide to tell right from wrong. known: why this
    runtime is expected to differ, else empty. finite: at least one true value is a finite number.
    files: the model files, or signatures of one, that computed the tensor.
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
    reference_error_there: float | None = None

    @property
    def against_itself(self) -> bool:
        """Return whether the expected values are from another model file of the same runtime."""
        return AGAINST in self.detail

    @property
    def within(self) -> bool:
        """Return whether the error is within the budget; NaN and infinite budgets fail."""
        return self.max_abs <= self.budget < math.inf

    @property
    def passed(self) -> bool:
        """Return whether the error is within the budget, or the difference is a known one."""
        return self.within or bool(self.known)


def compare(pair: TensorPair, context: ComparisonContext, budget: Budget) -> Comparison:
    """Compare one tensor with its true value; a difference in shape is an infinite error."""
    actual, truth = pair.actual, pair.truth
    worst: tuple[int, ...] = ()
    allowed, found, expected = budget.atol, math.nan, math.nan
    if actual.shape != truth.shape:
        max_abs = max_ulp = math.inf
        finite = True
    elif not truth.size:  # empty tensors match, but are no evidence
        max_abs = max_ulp = 0.0
        finite = False
    else:
        finite = bool(np.isfinite(truth).any())
        error, limits = errors(actual, truth), budget.limits(truth)
        worst = _worst(error, limits)
        with np.errstate(over="ignore"):  # values too large for float32 become infinite
            ulp = np.spacing(np.abs(truth).astype(np.float32)).astype(np.float64)
        max_abs = float(error[worst])
        max_ulp = float(np.where(error == 0, 0.0, error / np.where(ulp > 0, ulp, 1.0)).max())
        found, expected = float(actual[worst]), float(truth[worst])
        allowed = float(limits[worst])
    return Comparison(
        **asdict(context), max_abs=max_abs, max_ulp=max_ulp, budget=allowed,
        reference_error=budget.reference_error, worst_index=worst, found=found, expected=expected,
        decisive=budget.decisive, finite=finite,
    )  # fmt: skip


def with_reference(comparison: Comparison, truth: Array, reference: Array | None) -> Comparison:
    """Return a comparison with TensorFlow's own error of its worst element, if it is known."""
    if reference is None or not comparison.worst_index:
        return comparison
    own = errors(reference, truth)[comparison.worst_index]
    return replace(comparison, reference_error_there=float(own))


def _worst(error: Floats, limits: Floats) -> tuple[int, ...]:
    """Return the place of the largest error, relative to the budget there."""
    with np.errstate(divide="ignore", invalid="ignore"):
        used = np.where(error == 0, 0.0, error / limits)
    even = bool((limits == limits.flat[0]).all())
    place = int((error if even else used).argmax())
    return tuple(int(i) for i in np.unravel_index(place, error.shape))
