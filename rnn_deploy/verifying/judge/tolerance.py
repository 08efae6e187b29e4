"""The budget of an error, derived from TensorFlow's own.

The oracle is the model in float64; the reference is TensorFlow in float32. Any correct float32
implementation rounds as often as TensorFlow does, in another order, so for each tensor

    budget = OTHERS * e + ULPS * u * s + UNDERFLOW

    e   TensorFlow's own largest error against the oracle over all golden cases
    u   unit roundoff of float32, 2^-24
    s   largest magnitude of the tensor over all golden cases
    UNDERFLOW, 2^-120: what is below float32's normal numbers (2^-126) may be flushed to zero, as
        TensorFlow does, or kept

OTHERS allows for another order of summation and another approximation of tanh (a few ulp each,
where TensorFlow's own may happen to be none); ULPS for cases so small that TensorFlow's error is
zero by luck. Both were set by some hundred models composed at random, whose recurrences amplify
what rounding there is. Wrong arithmetic is far outside: bfloat16 alone errs by 2^-9 s. Higham,
Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1, gives the bound both terms
stand for.

A model that computes in float64 is its own oracle. TensorFlow's error in float32 still says how
much it amplifies rounding, so there the first two terms are scaled by the ratio of the two unit
roundoffs, 2^-29; its inputs may be float32, and flushed.

Without an oracle the reference itself is the truth, and its own error unknown: BLIND * u * s.
Integers and booleans must be equal.

A recurrence that amplifies rounding makes TensorFlow's own error, and so the budget, as large as
the values: a comparison then tells nothing. One whose budget is more than s / VAGUE is called not
decisive, and the verdict rests on the others (single steps from the reference's states).

A golden case for one check alone has inputs of its own, so there e and s are taken from that case.
Where they are extreme, and not single steps of plain ones, s is no less than in the plain cases: a
sigmoid far from zero is exact to some ulp of one, not of the 1e-21 that it is, and some flush it to
zero.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.errors import InputError
from rnn_deploy.spec import Array
from rnn_deploy.verifying.judge.compare import max_abs_error

UNIT_ROUNDOFF = 2.0**-24
FINER = 2.0**-29  # float64's unit roundoff in terms of float32's
OTHERS = 16.0
ULPS = 32.0
BLIND = 256.0
UNDERFLOW = 2.0**-120
VAGUE = 16.0
ALL = "*"
DERIVED = "derived from TensorFlow's own error"


@dataclass(frozen=True)
class UserTolerance:
    """A tolerance that the user asks for in place of the derived: by tensor's name, ALL for all.

    An error may be atol + rtol * |true value|; what is not given is 0. InputError for a negative
    one.
    """

    atol: Mapping[str, float] = field(default_factory=dict)
    rtol: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for option, given in (("--atol", self.atol), ("--rtol", self.rtol)):
            for name, value in given.items():
                if not (math.isfinite(value) and value >= 0):
                    of = "" if name == ALL else f"{name}="
                    raise InputError(f"{option} {of}{value:g}: give a number that is 0 or more")

    def check_names(self, names: Iterable[str]) -> None:
        """InputError for a tensor that the model does not give."""
        known = list(dict.fromkeys(names))
        unknown = sorted({*self.atol, *self.rtol} - {ALL, *known})
        if unknown:
            raise InputError(
                f"a tolerance for {', '.join(unknown)}: the model gives {', '.join(known)}"
            )

    @property
    def said(self) -> str:
        """In words, for a report."""
        given = [
            f"{option} {'' if name == ALL else f'{name}='}{value:g}"
            for option, values in (("--atol", self.atol), ("--rtol", self.rtol))
            for name, value in values.items()
        ]
        return f"asked for: {' '.join(given)}" if given else DERIVED

    def of(self, name: str) -> tuple[float, float] | None:
        """The (atol, rtol) asked for a tensor; None where the derived budget holds."""
        atol = self.atol.get(name, self.atol.get(ALL))
        rtol = self.rtol.get(name, self.rtol.get(ALL))
        return None if atol is None and rtol is None else (atol or 0.0, rtol or 0.0)


@dataclass(frozen=True)
class Budget:
    """What is allowed of one tensor: budget + rtol * |true value|.

    own: TensorFlow's own error, None without an oracle. decisive: it tells right from wrong.
    """

    budget: float
    own: float | None
    rtol: float = 0.0
    decisive: bool = True


@dataclass(frozen=True)
class Budgets:
    """The budgets of every tensor of every case, from what all plain cases together say.

    noise: what a quantised artifact may err by where that is more.
    """

    errors: Mapping[str, float]
    scales: Mapping[str, float]
    dtypes: Mapping[str, str]
    asked: UserTolerance
    noise: Mapping[str, float] = field(default_factory=dict)

    def of(self, case: GoldenCase, name: str) -> Budget:
        """What is allowed of the tensor `name` of a case."""
        given = self.asked.of(name)
        if given is not None:
            return Budget(given[0], self.errors.get(name), given[1])
        derived = self._derived(case, name)
        noise = self.noise.get(name, 0.0)
        if noise <= derived.budget:
            return derived
        # What may err by as much as it ever is may be anything, nothing at all too.
        return Budget(noise, derived.own, decisive=noise < self.scales.get(name, math.inf))

    def _derived(self, case: GoldenCase, name: str) -> Budget:
        pooled = self._allowed(case, name, self.errors, self.scales)
        if not case.check and pooled.decisive:
            return pooled
        # A short case may tell what the longest ones, pooled with it, do not.
        own = {} if name not in case.oracle else {name: _own_error(case, name)}
        scales = self.scales if case.check and not case.steps else {}
        alone = self._allowed(case, name, own, scales)
        return alone if case.check or alone.decisive else pooled

    def _allowed(
        self, case: GoldenCase, name: str, errors: Mapping[str, float], scales: Mapping[str, float]
    ) -> Budget:
        own, truth = errors.get(name), case.truth[name]
        dtype = self.dtypes.get(name, "float32")
        allowed = budget(truth, own, scales.get(name, 0.0), dtype)
        scale = max(scales.get(name, 0.0), magnitude(truth)) if truth.dtype.kind == "f" else 0.0
        return Budget(allowed, own, decisive=allowed - UNDERFLOW <= scale / VAGUE)


def tolerance_of(
    read: Callable[[], Iterable[GoldenCase]],
    dtypes: Mapping[str, str],
    asked: UserTolerance | None = None,
) -> Budgets:
    """The tolerance of a model whose golden cases `read` gives, one at a time."""
    errors: dict[str, float] = {}
    sizes: dict[str, float] = {}
    for case in read():
        if not case.check:
            for found, new in ((errors, reference_errors([case])), (sizes, scales([case]))):
                found.update({n: max(found.get(n, 0.0), value) for n, value in new.items()})
    return Budgets(errors, sizes, dtypes, asked or UserTolerance())


def reference_errors(cases: Iterable[GoldenCase]) -> dict[str, float]:
    """TensorFlow's own largest error for each tensor, over all cases that have an oracle."""
    errors: dict[str, float] = {}
    for case in cases:
        for name in case.oracle:
            errors[name] = max(errors.get(name, 0.0), _own_error(case, name))
    return errors


def _own_error(case: GoldenCase, name: str) -> float:
    return max_abs_error(case.reference[name], case.oracle[name])


def scales(cases: Iterable[GoldenCase]) -> dict[str, float]:
    """The largest magnitude of each tensor, over all cases."""
    found: dict[str, float] = {}
    for case in cases:
        for name, truth in case.truth.items():
            if truth.dtype.kind == "f":
                found[name] = max(found.get(name, 0.0), magnitude(truth))
    return found


def magnitude(value: Array) -> float:
    """The largest finite magnitude in an array."""
    finite = np.abs(value[np.isfinite(value)])
    return float(finite.max()) if finite.size else 0.0


def budget(
    truth: Array, reference_error: float | None, scale: float = 0.0, dtype: str = "float32"
) -> float:
    """The largest absolute error allowed for a tensor whose true value is `truth`.

    scale: its largest magnitude in other cases. dtype: what the model gives it in.
    """
    if truth.dtype.kind != "f":
        return 0.0
    scale = max(scale, magnitude(truth))
    if reference_error is None:
        return BLIND * UNIT_ROUNDOFF * scale + UNDERFLOW
    finer = FINER if dtype == "float64" else 1.0
    return finer * (OTHERS * reference_error + ULPS * UNIT_ROUNDOFF * scale) + UNDERFLOW
