"""Decide the tolerance of every output and state: its error budget, or a limit set by the user.

The oracle is the model in float64; the reference is TensorFlow in float32. Any correct float32
implementation rounds as often as TensorFlow does, in another order, so for each tensor

    budget = ERROR_FACTOR * e + ULPS * u * s + UNDERFLOW

    e   TensorFlow's own largest error against the oracle over all golden cases
    u   unit roundoff of float32, 2^-24
    s   largest magnitude of the tensor over all golden cases
    UNDERFLOW, 2^-120: an implementation may flush values below float32's normal numbers (2^-126)
        to zero, as TensorFlow does, or keep them

ERROR_FACTOR allows for another order of summation and another approximation of tanh (a few ulp
each, while TensorFlow's own error may be zero). ULPS allows for cases so small that TensorFlow's
error is zero by chance. Both were set with about a hundred models composed at random, whose
recurrences amplify rounding. Wrong arithmetic is far outside: bfloat16 alone has an error of
2^-9 s. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1, derives the
bound of both terms.

A model that computes in float64 is its own oracle. TensorFlow's error in float32 still shows how
much the model amplifies rounding, so the first two terms are scaled by the ratio of the two unit
roundoffs, 2^-29. UNDERFLOW is not, because its inputs may be float32 and flushed to zero.

Without an oracle the reference itself is the truth, and its own error is unknown: the budget is
ULPS_WITHOUT_ORACLE * u * s. Integers and booleans must be equal.

A recurrence that amplifies rounding can make TensorFlow's own error, and so the budget, as large as
the values. Then a comparison shows nothing: a budget of more than s / VAGUE is not decisive, and
the verdict depends on the other comparisons (single steps from the reference's states).

A golden case for a single check has its own inputs, so e and s come from that case. For extreme
inputs, s is at least that of the plain cases: a sigmoid far from zero is exact to some ulp of one,
not of its value of 1e-21, and some runtimes flush it to zero.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.errors import InputError
from rnn_deploy.spec import Array
from rnn_deploy.verifying.judge.distance import Floats, magnitude, max_abs_error

SIZES = "sizes"  # derived from plain cases, and with their budgets
GIVEN = "given"  # given by the user, and with the budgets of plain cases
UNIT_ROUNDOFF = 2.0**-24
FLOAT64_ROUNDOFF = 2.0**-29  # relative to float32's
ERROR_FACTOR = 16.0
ULPS = 32.0
ULPS_WITHOUT_ORACLE = 256.0
UNDERFLOW = 2.0**-120
VAGUE = 16.0
ALL = "*"
DERIVED = "derived from TensorFlow's own error"


@dataclass(frozen=True)
class UserTolerance:
    """Absolute and relative tolerances that replace the derived budget, by tensor name.

    An error may be atol + rtol * |true value|; one that is not set is 0. The name ALL stands for
    every tensor. Raises InputError for a number that is negative or not finite.
    """

    atol: Mapping[str, float] = field(default_factory=dict)
    rtol: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for option, values in (("--atol", self.atol), ("--rtol", self.rtol)):
            for name, value in values.items():
                if not (math.isfinite(value) and value >= 0):
                    tensor = "" if name == ALL else f"{name}="
                    raise InputError(
                        "E-VERIFY-TOLERANCE",
                        f"{option} {tensor}{value:g}: give a finite number that is 0 or more",
                    )

    def check_names(self, names: Iterable[str]) -> None:
        """Raise InputError for a tensor that the model does not have."""
        known = list(dict.fromkeys(names))
        unknown = sorted({*self.atol, *self.rtol} - {ALL, *known})
        if unknown:
            raise InputError(
                "E-VERIFY-UNKNOWN-TENSOR",
                f"there is a tolerance for {', '.join(unknown)}, but the outputs and states are"
                f" {', '.join(known)}; use one of these names",
            )

    @property
    def description(self) -> str:
        """Return the source of the budgets in words, for a report."""
        options = [
            f"{option} {'' if name == ALL else f'{name}='}{value:g}"
            for option, values in (("--atol", self.atol), ("--rtol", self.rtol))
            for name, value in values.items()
        ]
        return f"set by the user: {' '.join(options)}" if options else DERIVED

    def for_tensor(self, name: str) -> tuple[float, float] | None:
        """Return the (atol, rtol) of a tensor; None if its derived budget applies."""
        atol = self.atol.get(name, self.atol.get(ALL))
        rtol = self.rtol.get(name, self.rtol.get(ALL))
        return None if atol is None and rtol is None else (atol or 0.0, rtol or 0.0)


@dataclass(frozen=True, eq=False)
class Budget:
    """The largest error allowed for one tensor: atol + rtol * |true value|, or `bound`.

    reference_error: TensorFlow's own error, None without an oracle. decisive: False if the budget
    is too wide to tell right from wrong. bound: the largest error of each element, in place of
    atol and rtol; it broadcasts to the tensor's shape.
    """

    atol: float
    reference_error: float | None = None
    rtol: float = 0.0
    decisive: bool = True
    bound: Array | None = None

    def limits(self, truth: Array) -> Floats:
        """Return the largest error allowed for each element, in the shape of `truth`."""
        if self.bound is not None:
            return np.broadcast_to(self.bound.astype(np.float64), truth.shape)
        if not self.rtol:
            return np.full(truth.shape, self.atol)
        sizes = np.abs(truth.astype(np.float64))
        return self.atol + self.rtol * np.where(np.isfinite(sizes), sizes, 0.0)


@dataclass(frozen=True)
class Budgets:
    """The budgets of every tensor of every case.

    errors, scales: TensorFlow's own largest error and the largest magnitude of each tensor, over
    all plain cases. noise: the larger errors that a quantised artifact may have.
    spans: the largest value minus the smallest, over all plain cases: a budget of half of it would
    accept a constant, whatever the model computes.
    """

    errors: Mapping[str, float]
    scales: Mapping[str, float]
    dtypes: Mapping[str, str]
    user: UserTolerance
    noise: Mapping[str, float] = field(default_factory=dict)
    spans: Mapping[str, float] = field(default_factory=dict)

    def accepts_anything(self, name: str, error: float) -> bool:
        """Return whether a constant would be within the error in every plain case."""
        return error >= self.spans.get(name, math.inf) / 2

    def budget_of(
        self,
        case: GoldenCase,
        name: str,
        bound: Array | None = None,
        rounding: Mapping[str, float] | None = None,
    ) -> Budget:
        """Return the budget of the tensor `name` of a case.

        bound: the largest error of each element, if the check derives one; a tolerance that the
        user sets replaces it too. rounding: the error of each tensor that rounding causes, as the
        check measured it.
        """
        user = self.user.for_tensor(name)
        if user is not None:
            return Budget(user[0], self.errors.get(name), user[1])
        budget = self._derived_or_noise(case, name)
        if rounding and name in rounding:
            budget = self._with_rounding(budget, case.truth[name], name, rounding[name])
        return replace(budget, bound=bound)

    def _with_rounding(self, budget: Budget, truth: Array, name: str, error: float) -> Budget:
        scale = self.scales.get(name, 0.0)
        atol = allowed_error(truth, error, scale, self.dtypes.get(name, "float32"))
        if atol <= budget.atol:
            return budget
        decisive = atol - UNDERFLOW <= max(scale, magnitude(truth)) / VAGUE
        return replace(budget, atol=atol, decisive=budget.decisive and decisive)

    def _derived_or_noise(self, case: GoldenCase, name: str) -> Budget:
        derived = self._derived(case, name)
        noise = self.noise.get(name, 0.0)
        if noise <= derived.atol:
            return derived
        decisive = not self.accepts_anything(name, noise)
        return Budget(noise, derived.reference_error, decisive=decisive)

    def _derived(self, case: GoldenCase, name: str) -> Budget:
        if case.check == GIVEN:  # TensorFlow's own error is not known there
            return self._budget(case, name, self.errors, self.scales)
        own = {name: _reference_error(case, name)} if name in case.oracle else {}
        # A case of sizes may come from single steps, whose errors the plain cases do not include.
        plain = own if case.check == SIZES else {}
        most = {n: max(e, plain.get(n, 0.0)) for n, e in self.errors.items()}
        pooled = self._budget(case, name, most, self.scales)
        if case.check in ("", SIZES) and pooled.decisive:
            return pooled
        # Its own scale, because longer cases that share a scale may hide an error of a short one.
        scales = self.scales if case.check and not case.steps else {}
        own_budget = self._budget(case, name, own, scales)
        return own_budget if case.check not in ("", SIZES) or own_budget.decisive else pooled

    def _budget(
        self, case: GoldenCase, name: str, errors: Mapping[str, float], scales: Mapping[str, float]
    ) -> Budget:
        truth, scale = case.truth[name], scales.get(name, 0.0)
        dtype = self.dtypes.get(name, "float32")
        atol = allowed_error(truth, errors.get(name), scale, dtype)
        scale = max(scale, magnitude(truth)) if truth.dtype.kind == "f" else 0.0
        return Budget(atol, errors.get(name), decisive=atol - UNDERFLOW <= scale / VAGUE)


def derive_budgets(
    read: Callable[[], Iterable[GoldenCase]],
    dtypes: Mapping[str, str],
    user: UserTolerance | None = None,
) -> Budgets:
    """Derive the budgets of a model from its golden cases, which `read` yields one at a time."""
    errors: dict[str, float] = {}
    sizes: dict[str, float] = {}
    extremes: dict[str, tuple[float, float]] = {}
    for case in read():
        if not case.check:
            for largest, new in ((errors, reference_errors([case])), (sizes, scales([case]))):
                largest.update({n: max(largest.get(n, 0.0), value) for n, value in new.items()})
            for name, truth in case.truth.items():
                extremes[name] = _extremes(truth, extremes.get(name))
    spans = {name: most - least for name, (least, most) in extremes.items() if most >= least}
    return Budgets(errors, sizes, dtypes, user or UserTolerance(), spans=spans)


def _extremes(value: Array, before: tuple[float, float] | None) -> tuple[float, float]:
    """Return the smallest and the largest finite value of an array and of `before`."""
    least, most = before or (math.inf, -math.inf)
    finite = value[np.isfinite(value)]
    if not finite.size:
        return least, most
    return min(least, float(finite.min())), max(most, float(finite.max()))


def reference_errors(cases: Iterable[GoldenCase]) -> dict[str, float]:
    """Return TensorFlow's own largest error of each tensor, over all cases with an oracle."""
    errors: dict[str, float] = {}
    for case in cases:
        for name in case.oracle:
            errors[name] = max(errors.get(name, 0.0), _reference_error(case, name))
    return errors


def _reference_error(case: GoldenCase, name: str) -> float:
    return max_abs_error(case.reference[name], case.oracle[name])


def scales(cases: Iterable[GoldenCase]) -> dict[str, float]:
    """Return the largest magnitude of each tensor, over all cases."""
    largest: dict[str, float] = {}
    for case in cases:
        for name, truth in case.truth.items():
            if truth.dtype.kind == "f":
                largest[name] = max(largest.get(name, 0.0), magnitude(truth))
    return largest


def allowed_error(
    truth: Array, reference_error: float | None, scale: float = 0.0, dtype: str = "float32"
) -> float:
    """Return the largest absolute error allowed for a tensor whose true value is `truth`.

    reference_error: TensorFlow's own, None without an oracle. scale: the tensor's largest
    magnitude in other cases. dtype: the type in which the model computes it.
    """
    if truth.dtype.kind != "f":
        return 0.0
    scale = max(scale, magnitude(truth))
    if reference_error is None:
        return ULPS_WITHOUT_ORACLE * UNIT_ROUNDOFF * scale + UNDERFLOW
    finer = FLOAT64_ROUNDOFF if dtype == "float64" else 1.0
    return finer * (ERROR_FACTOR * reference_error + ULPS * UNIT_ROUNDOFF * scale) + UNDERFLOW
