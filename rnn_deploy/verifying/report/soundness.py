"""What golden cases and comparisons say of the model itself, and of how far a verdict reaches."""

from collections.abc import Iterable, Sequence

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.bundle.proof import ReferenceDistances
from rnn_deploy.spec import Array
from rnn_deploy.verifying.judge.compare import Comparison

AMPLIFIES = 1.1  # growth of an error per step, of which is told


def notes_on(
    cases: Iterable[GoldenCase],
    comparisons: Sequence[Comparison],
    checks: Sequence[str],
    votes: Sequence[ReferenceDistances] = (),
) -> tuple[str, ...]:
    """Notes for a report, the gravest first."""
    return (
        *_votes(votes),
        *_not_finite(cases),
        *_not_decisive(comparisons),
        *_known(comparisons),
        *_without_cases(comparisons, checks),
    )


def _votes(votes: Sequence[ReferenceDistances]) -> Iterable[str]:
    for vote in votes:
        if vote.alone:
            yield (
                f"layer '{vote.layer}': {vote.alone} is alone: TensorFlow to oracle"
                f" {vote.tensorflow:.1e}, NumPy to oracle {vote.cells:.1e}, NumPy to TensorFlow"
                f" {vote.between:.1e}; please report it with the model"
            )
        elif vote.growth > AMPLIFIES:
            yield (
                f"layer '{vote.layer}' amplifies: an error grows {vote.growth:.2f} times per step"
                " along a golden sequence"
            )


def _not_finite(cases: Iterable[GoldenCase]) -> Iterable[str]:
    """The model gives NaN or infinities for inputs that are finite."""
    said: dict[str, str] = {}
    for case in cases:
        if all(map(_finite, case.feeds.values())):
            for name, value in case.truth.items():
                if not _finite(value):
                    said.setdefault(name, case.name)
    for name, case_name in said.items():
        yield (
            f"the model itself gives NaN or infinity in '{name}' for finite inputs (case"
            f" {case_name}): equal in the same places counts as equal, but look at its weights"
        )


def _not_decisive(comparisons: Sequence[Comparison]) -> Iterable[str]:
    vague = [c for c in comparisons if not c.decisive]
    if vague:
        names = ", ".join(dict.fromkeys(c.name for c in vague))
        yield (
            f"the recurrence amplifies rounding: for {names} TensorFlow's own float32 is so far"
            f" from float64 that {len(vague)} comparisons over many steps tell nothing; the verdict"
            " rests on single steps from the reference's states (teacher-forced) and on short cases"
        )


def _known(comparisons: Sequence[Comparison]) -> Iterable[str]:
    reasons = dict.fromkeys((c.runtime, c.case, c.known) for c in comparisons if c.known)
    for runtime, case, reason in reasons:
        yield f"{runtime} differs from TensorFlow in case '{case}': {reason}"


def _without_cases(comparisons: Sequence[Comparison], checks: Sequence[str]) -> Iterable[str]:
    compared = {comparison.check for comparison in comparisons}
    left = [check for check in checks if check not in compared]
    if compared and left:
        yield f"nothing to compare for {', '.join(left)}: the model or the bundle has no such case"


def _finite(value: Array) -> bool:
    return value.dtype.kind != "f" or bool(np.isfinite(value).all())
