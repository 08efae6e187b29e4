"""Two models on the same inputs, output by output.

Inputs and outputs are paired by name; where names differ and there are as many on both sides, by
order, which is said. The first model is the truth. With no oracle beside it, an error may be
BLIND * u * s (tolerance.py) unless a tolerance is asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.spec import Array, TensorSpec
from rnn_deploy.verifying.judge.compare import Comparison, compare
from rnn_deploy.verifying.judge.tolerance import UserTolerance, budget

CHECK = "compare"


@dataclass(frozen=True)
class PairComparison:
    """Two models compared. notes: what had to be guessed."""

    first: str
    second: str
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Something was compared, and everything is within its budget."""
        return bool(self.comparisons) and all(c.passed for c in self.comparisons)

    @property
    def verdict(self) -> str:
        """The outcome in one line."""
        failed = sum(not comparison.passed for comparison in self.comparisons)
        if self.passed:
            return f"the same: {len(self.comparisons)} outputs, all within their budgets"
        return f"APART: {failed} of {len(self.comparisons)} outputs outside their budgets"


def compared(
    first: Runner,
    second: Runner,
    names: tuple[str, str],
    feeds: Mapping[str, Array],
    asked: UserTolerance,
) -> PairComparison:
    """Run both on `feeds`, by the names of either. names: what the two are called.

    InputError when inputs or outputs cannot be paired, or a tolerance names none.
    """
    notes: list[str] = []
    into = _pairs(first.entry.all_inputs, second.entry.all_inputs, "inputs", names, notes)
    out = _pairs(first.entry.all_outputs, second.entry.all_outputs, "outputs", names, notes)
    asked.check_names(out)
    of_first = _named(feeds, into)
    of_second = {into[name]: value for name, value in of_first.items()}
    truth, found = first.run(of_first), second.run(of_second)
    comparisons = [
        _compared(found[other], truth[name], name, names, asked) for name, other in out.items()
    ]
    for name in out:
        if truth[name].dtype.kind == "f" and not np.isfinite(truth[name]).all():
            notes.append(f"{names[0]} gives NaN or infinity in '{name}'")
    return PairComparison(*names, tuple(comparisons), tuple(notes))


def _compared(
    found: Array, truth: Array, name: str, names: tuple[str, str], asked: UserTolerance
) -> Comparison:
    atol, rtol = asked.of(name) or (budget(truth, None), 0.0)
    return compare(
        found,
        truth,
        runtime=names[1],
        check=CHECK,
        case="inputs",
        name=name,
        kind="output",
        budget=atol,
        reference_error=None,
        rtol=rtol,
    )


def _pairs(
    first: Sequence[TensorSpec],
    second: Sequence[TensorSpec],
    what: str,
    names: tuple[str, str],
    notes: list[str],
) -> dict[str, str]:
    """The names of the second by those of the first."""
    ours, theirs = [t.name for t in first], [t.name for t in second]
    if set(ours) == set(theirs):
        return {name: name for name in ours}
    if len(ours) == len(theirs):
        pairs = dict(zip(ours, theirs, strict=True))
        said = ", ".join(f"{a} with {b}" for a, b in pairs.items())
        notes.append(f"{what} have other names, so they are paired by order: {said}")
        return pairs
    raise InputError(
        f"the {what} do not pair: {names[0]} has {', '.join(ours)}; {names[1]} has"
        f" {', '.join(theirs)}; compare models with as many {what}"
    )


def _named(feeds: Mapping[str, Array], into: Mapping[str, str]) -> dict[str, Array]:
    """The inputs under the first model's names, given under either's."""
    if set(feeds) <= set(into):
        return dict(feeds)
    back = {theirs: ours for ours, theirs in into.items()}
    unknown = [name for name in feeds if name not in back]
    if unknown:
        raise InputError(f"unknown input {', '.join(unknown)}; the model takes {', '.join(into)}")
    return {back[name]: value for name, value in feeds.items()}
