"""Everything that was compared, as one value with a verdict, to and from JSON."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rnn_deploy.bundle.json_values import finite
from rnn_deploy.bundle.proof import ReferenceDistances
from rnn_deploy.runtimes.registry import SkippedRuntime
from rnn_deploy.verifying.diagnose.file_verdicts import blames
from rnn_deploy.verifying.diagnose.finding import Finding
from rnn_deploy.verifying.judge.checks import NOT_TO_THE_TRUTH
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.judge.tolerance import DERIVED

NOTHING = "nothing was checked"


@dataclass(frozen=True)
class UnfinishedCheck:
    """A check that could not be run to its end, and why. files: what the runtime ran for it."""

    runtime: str
    check: str
    case: str
    message: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodeDevice:
    """A recurrent node of an entry point, the provider it ran on and the one asked for."""

    runtime: str
    entry: str
    node: str
    op_type: str
    provider: str
    asked: str

    @property
    def passed(self) -> bool:
        """It ran where it was asked to."""
        return self.provider == self.asked


@dataclass(frozen=True)
class UnknownPlacement:
    """A runtime that does not tell where its nodes ran."""

    runtime: str


@dataclass(frozen=True)
class CheckTiming:
    """How long a check of one case took on a runtime, in seconds."""

    runtime: str
    check: str
    case: str
    seconds: float


@dataclass(frozen=True)
class Report:
    """The outcome of a verification.

    reference: what the truth is. bundle, digest: what was verified. environment: where. notes:
    what must be known of the model itself, or of how far the verdict reaches. findings: of each
    check that failed on a runtime, the first place where it leaves the truth. placed: where the
    recurrent nodes ran, of runtimes that tell; one elsewhere is a fault, too. tolerance: where
    budgets come from. votes: how the references agree on each recurrent layer, as the export
    found. timings: how long each check took. untold: the runtimes that do not tell of placement.
    due: the outputs and states that were to be compared on each of `runtimes`.
    """

    reference: str
    bundle: str
    digest: str
    environment: dict[str, str]
    comparisons: tuple[Comparison, ...]
    faults: tuple[UnfinishedCheck, ...]
    skipped: tuple[SkippedRuntime, ...]
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    placed: tuple[NodeDevice, ...] = ()
    tolerance: str = DERIVED
    votes: tuple[ReferenceDistances, ...] = ()
    timings: tuple[CheckTiming, ...] = ()
    untold: tuple[UnknownPlacement, ...] = ()
    due: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Of each tensor something was compared that tells right from wrong and is a number, on
        every runtime, everything is within its budget, nothing broke off, and the references
        agree."""
        lacking = (self.split, self.not_compared, self.never_finite, self.never_decisive)
        return (
            bool(self.comparisons)
            and not any(lacking)
            and not self.faults
            and all(comparison.passed for comparison in self.comparisons)
        )

    @property
    def split(self) -> tuple[ReferenceDistances, ...]:
        """Layers on which one of the three references says something else."""
        return tuple(vote for vote in self.votes if vote.alone)

    @property
    def not_compared(self) -> tuple[str, ...]:
        """Outputs and states of which nothing was compared with the truth on a runtime, and
        runtimes on which nothing was compared at all, in words; none where a check broke off,
        which says more."""
        true = (c for c in self.comparisons if c.check not in NOT_TO_THE_TRUTH)
        seen = {(c.runtime, c.name) for c in true}
        ran, broken = {c.runtime for c in self.comparisons}, {f.runtime for f in self.faults}
        whole = [runtime for runtime in self.runtimes if runtime not in broken]
        return tuple(
            f"'{name}' on {runtime}" if runtime in ran else f"anything on {runtime}"
            for runtime in whole
            for name in (self.due if runtime in ran else ("",))
            if (runtime, name) not in seen
        )

    @property
    def never_finite(self) -> tuple[str, ...]:
        """Outputs and states of which the truth was never a number: equal, and proof of nothing."""
        numbers = {c.name for c in self.comparisons if c.finite}
        return tuple(dict.fromkeys(c.name for c in self.comparisons if c.name not in numbers))

    @property
    def never_decisive(self) -> tuple[str, ...]:
        """Outputs and states whose every budget on a runtime is too wide to tell anything."""
        told = {(c.runtime, c.name) for c in self.comparisons if c.decisive}
        vague = (c.name for c in self.comparisons if (c.runtime, c.name) not in told)
        return tuple(dict.fromkeys(vague))

    @property
    def verdict(self) -> str:
        """The outcome in one line."""
        if not self.comparisons and not self.faults:
            return f"FAILED: {NOTHING}"
        failed = sum(not comparison.passed for comparison in self.comparisons)
        known = sum(bool(comparison.known) for comparison in self.comparisons)
        if self.passed and known:
            return (
                f"passed: {len(self.comparisons) - known} comparisons within their budgets,"
                f" {known} differ in a way that is known"
            )
        if self.passed:
            return f"passed: {len(self.comparisons)} comparisons, all within their budgets"
        if self.split and not failed and not self.faults:
            layers = ", ".join(f"'{vote.layer}' ({vote.alone} is alone)" for vote in self.split)
            return f"FAILED: the references disagree on layer {layers}"
        if self.not_compared and self.comparisons and not failed and not self.faults:
            return f"FAILED: nothing was compared of {', '.join(self.not_compared)}"
        if self.never_finite and not failed and not self.faults:
            names = ", ".join(self.never_finite)
            return f"FAILED: the model gives no number in {names}, but NaN, infinity or nothing"
        if not failed and not self.faults:
            names = ", ".join(self.never_decisive)
            return f"FAILED: no comparison of {names} tells right from wrong, budgets are too wide"
        return (
            f"FAILED: {failed} of {len(self.comparisons)} comparisons outside their budgets,"
            f" {len(self.faults)} checks broke off"
        )


def worst_of_each(
    comparisons: Iterable[Comparison], by: Sequence[str] = ("runtime", "check", "name")
) -> list[Comparison]:
    """For each runtime, check and tensor the comparison that failed or used most of its budget."""
    worst: dict[tuple[str, ...], Comparison] = {}
    for comparison in comparisons:
        key = tuple(getattr(comparison, field) for field in by)
        if key not in worst or _rank(comparison) > _rank(worst[key]):
            worst[key] = comparison
    return list(worst.values())


def json_from_report(report: Report) -> str:
    """The report as JSON; infinities and NaN become strings, since JSON has none."""
    data = dataclasses.asdict(report)
    for comparison, entry in zip(report.comparisons, data["comparisons"], strict=True):
        entry["passed"] = comparison.passed
    for vote, entry in zip(report.votes, data["votes"], strict=True):
        entry["alone"] = vote.alone
    for finding, entry in zip(report.findings, data["findings"], strict=True):
        entry["said"] = list(finding.lines)
    data["files"] = [dataclasses.asdict(blame) for blame in blames(report.comparisons)]
    data |= {"passed": report.passed, "verdict": report.verdict}
    return json.dumps(finite(data), indent=1, allow_nan=False) + "\n"


def _rank(comparison: Comparison) -> tuple[bool, float]:
    """Failures first, then by the part of the budget that was used."""
    if comparison.max_abs == 0 or not comparison.budget:
        return not comparison.passed, comparison.max_abs
    return not comparison.passed, comparison.max_abs / comparison.budget
