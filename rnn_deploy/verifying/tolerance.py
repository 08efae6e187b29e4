"""The budget of an error, derived from TensorFlow's own.

The oracle is the model in float64; the reference is TensorFlow in float32. Any correct float32
implementation rounds as often as TensorFlow does, in another order, so for each tensor

    budget = OTHERS * e + ULPS * u * s

    e   TensorFlow's own largest error against the oracle over all golden cases
    u   unit roundoff of float32, 2^-24
    s   largest magnitude of the tensor over all golden cases

OTHERS allows for another order of summation and another approximation of tanh (a few ulp each,
where TensorFlow's own may happen to be none); ULPS for cases so small that TensorFlow's error is
zero by luck. Both were set by some hundred models composed at random, whose recurrences amplify
what rounding there is. Wrong arithmetic is far outside: bfloat16 alone errs by 2^-9 s. Higham,
Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1, gives the bound both terms
stand for.

A model that computes in float64 is its own oracle. TensorFlow's error in float32 still says how
much it amplifies rounding, so there the whole budget is scaled by the ratio of the two unit
roundoffs, 2^-29.

Without an oracle the reference itself is the truth, and its own error unknown: BLIND * u * s.
Integers and booleans must be equal.
"""

from collections.abc import Iterable

import numpy as np

from rnn_deploy.bundle import Case
from rnn_deploy.spec import Array
from rnn_deploy.verifying.compare import max_abs_error

UNIT_ROUNDOFF = 2.0**-24
FINER = 2.0**-29  # float64's unit roundoff in terms of float32's
OTHERS = 16.0
ULPS = 32.0
BLIND = 256.0


def reference_errors(cases: Iterable[Case]) -> dict[str, float]:
    """TensorFlow's own largest error for each tensor, over all cases that have an oracle."""
    errors: dict[str, float] = {}
    for case in cases:
        for name, truth in case.oracle.items():
            error = max_abs_error(case.reference[name], truth)
            errors[name] = max(errors.get(name, 0.0), error)
    return errors


def scales(cases: Iterable[Case]) -> dict[str, float]:
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
    if dtype == "float64" and reference_error is not None:
        return FINER * budget(truth, reference_error, scale)
    if truth.dtype.kind != "f":
        return 0.0
    scale = max(scale, magnitude(truth))
    if reference_error is None:
        return BLIND * UNIT_ROUNDOFF * scale
    return OTHERS * reference_error + ULPS * UNIT_ROUNDOFF * scale
