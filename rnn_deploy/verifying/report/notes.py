"""Notes of a report: about the model itself, and about the limits of the verdict."""

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.bundle.proof import ReferenceDistances
from rnn_deploy.spec import Array
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.judge.tolerance import UserTolerance

AMPLIFIES = 1.1  # a larger growth of an error per step has a note


def notes_of(
    cases: Iterable[GoldenCase],
    comparisons: Sequence[Comparison],
    checks: Sequence[str],
    distances: Sequence[ReferenceDistances] = (),
    quantised: Collection[str] = (),
) -> tuple[str, ...]:
    """Return the notes of a report, the most serious first.

    quantised: runtimes with a quantised model file; their budgets are wide for another reason.
    """
    return (
        *_on_references(distances),
        *_not_finite(cases),
        *_not_decisive([c for c in comparisons if c.runtime not in quantised]),
        *_known(comparisons),
        *_without_cases(comparisons, checks),
    )


def tolerance_notes(comparisons: Sequence[Comparison], tolerance: UserTolerance) -> tuple[str, ...]:
    """Return a warning for each tensor whose tolerance is below TensorFlow's own error."""
    worst: dict[str, tuple[float, float]] = {}  # TensorFlow's error and the tolerance, by tensor
    for c in comparisons:
        limits = tolerance.for_tensor(c.name)
        if limits is None:
            continue
        own = c.reference_error if not limits[1] else c.reference_error_there
        if own is not None and own > max(c.budget, worst.get(c.name, (0.0, 0.0))[0]):
            worst[c.name] = own, c.budget
    return tuple(
        f"the tolerance of '{name}', {allowed:.1e}, is below TensorFlow's own error of {own:.1e}:"
        " the original Keras model would fail, too; allow more"
        for name, (own, allowed) in worst.items()
    )


def _on_references(distances: Sequence[ReferenceDistances]) -> Iterable[str]:
    for d in distances:
        if d.alone:
            yield (
                f"layer '{d.layer}': {d.alone} disagrees with the other references: TensorFlow to"
                f" oracle {d.tensorflow:.1e}, NumPy to oracle {d.cells:.1e}, NumPy to TensorFlow"
                f" {d.between:.1e}; please report this with the model"
            )
        elif d.growth > AMPLIFIES:
            yield (
                f"layer '{d.layer}' amplifies errors: an error grows {d.growth:.2f} times per step"
                " in a golden sequence"
            )


def _not_finite(cases: Iterable[GoldenCase]) -> Iterable[str]:
    """Warn if finite inputs produce NaN or infinity."""
    first_case: dict[str, str] = {}
    for case in cases:
        if all(map(_finite, case.feeds.values())):
            for name, value in case.truth.items():
                if not _finite(value):
                    first_case.setdefault(name, case.name)
    for name, case_name in first_case.items():
        yield (
            f"finite inputs produce NaN or infinity in '{name}' (case {case_name}), in the Keras"
            " model, too; equal NaN counts as equal, but check the model's weights"
        )


def _not_decisive(comparisons: Sequence[Comparison]) -> Iterable[str]:
    vague = [c for c in comparisons if not c.decisive]
    if vague:
        names = ", ".join(dict.fromkeys(c.name for c in vague))
        yield (
            f"the recurrence amplifies rounding errors: for {names} the error of TensorFlow's own"
            f" float32 is so large that {len(vague)} comparisons over many steps are not decisive;"
            " the verdict rests on single steps from the reference's states (teacher-forced) and on"
            " short cases"
        )


def _known(comparisons: Sequence[Comparison]) -> Iterable[str]:
    reasons = dict.fromkeys((c.runtime, c.case, c.known) for c in comparisons if c.known)
    for runtime, case, reason in reasons:
        yield f"{runtime} differs from TensorFlow in case '{case}': {reason}"


def _without_cases(comparisons: Sequence[Comparison], checks: Sequence[str]) -> Iterable[str]:
    compared = {comparison.check for comparison in comparisons}
    missing = [check for check in checks if check not in compared]
    if compared and missing:
        yield f"checks without a golden case: {', '.join(missing)}"


def _finite(value: Array) -> bool:
    return value.dtype.kind != "f" or bool(np.isfinite(value).all())
