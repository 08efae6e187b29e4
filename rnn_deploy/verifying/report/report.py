"""The report of a verification: everything that was compared, as one value with a verdict."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rnn_deploy.bundle.proof import ReferenceDistances
from rnn_deploy.errors import RnnDeployError
from rnn_deploy.runtimes.registry import SkippedRuntime
from rnn_deploy.verifying.diagnose.finding import Finding
from rnn_deploy.verifying.judge.checks import WEAK_CHECKS
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.judge.tolerance import DERIVED
from rnn_deploy.verifying.report.changes import BaselineComparison
from rnn_deploy.verifying.report.coverage import COVERS, RuntimeCoverage, coverage_line

NOTHING = "nothing was checked"


@dataclass(frozen=True)
class FailedCheck:
    """A check that failed without a comparison: by an error, or by a misplaced node.

    files: the model files that the runtime ran, the last one last; or the file that changed.
    """

    runtime: str
    check: str
    case: str
    message: str
    files: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = f"{self.runtime}, {self.check}, case {self.case}"
        if self.runtime == self.check:  # a check of a file, which no runtime ran
            place = f"{self.check} of {self.case}"
        return f"check failed: {place}: {self.message}"


@dataclass(frozen=True)
class NodeDevice:
    """The device (provider) on which nodes of one operator ran, and the requested one.

    count: how many nodes of the entry point; shape arithmetic is not counted.
    """

    runtime: str
    entry: str
    op_type: str
    count: int
    provider: str
    requested: str

    @property
    def passed(self) -> bool:
        """Return whether the nodes ran on the requested device."""
        return self.provider == self.requested


@dataclass(frozen=True)
class UnknownPlacement:
    """A runtime that does not report where its nodes ran."""

    runtime: str


@dataclass(frozen=True)
class CheckTiming:
    """The time that a check of one case took on a runtime, in seconds."""

    runtime: str
    check: str
    case: str
    seconds: float


@dataclass(frozen=True)
class Report:
    """The result of a verification; `passed` and `verdict` sum it up.

    reference: in words, what the runtimes were compared with.
    bundle, digest: the bundle's path, and its SHA-256 in hexadecimal.
    environment: machine, versions and date, by name.
    comparisons: one for each tensor, golden case, check and runtime. Errors and budgets are
        absolute, in the tensor's own unit.
    failed_checks: checks that ended with an error, or found a misplaced node.
    skipped: runtimes that were not verified, and why.
    notes: about the model, and about the limits of the verdict.
    findings: the first wrong place of each failed check and runtime.
    node_devices, unknown_placements: where nodes ran, and the runtimes that do not report it.
    tolerance: the source of the budgets, in words.
    reference_distances: the distances of TensorFlow, the oracle and NumPy, by recurrent layer.
    timings: the time of each check, in seconds.
    runtimes, expected_tensors: the names of runtimes, and of the outputs and states that had to be
        compared on each.
    coverage: the largest calls of each runtime. possible_runtimes: those that have a model file in
        the bundle. checks_not_run: the checks that were not chosen.
    shared_weights: the model files that read each file with weights.
    baseline: the comparison with earlier results, or None.
    not_streamed: why the stream entry point must not run in chunks; empty if it may.
    """

    reference: str
    bundle: str
    digest: str
    environment: dict[str, str]
    comparisons: tuple[Comparison, ...]
    failed_checks: tuple[FailedCheck, ...]
    skipped: tuple[SkippedRuntime, ...]
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    node_devices: tuple[NodeDevice, ...] = ()
    tolerance: str = DERIVED
    reference_distances: tuple[ReferenceDistances, ...] = ()
    timings: tuple[CheckTiming, ...] = ()
    unknown_placements: tuple[UnknownPlacement, ...] = ()
    expected_tensors: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()
    coverage: tuple[RuntimeCoverage, ...] = ()
    possible_runtimes: tuple[str, ...] = ()
    checks_not_run: tuple[str, ...] = ()
    shared_weights: dict[str, tuple[str, ...]] = field(default_factory=dict)
    baseline: BaselineComparison | None = None
    not_streamed: str = ""

    @property
    def passed(self) -> bool:
        """Return whether the bundle is right on every runtime.

        Every comparison is within its budget, no check ended with an error, the references agree,
        and each tensor was compared at least once with a finite true value and a decisive budget.
        """
        return (
            bool(self.comparisons)
            and all(comparison.passed for comparison in self.comparisons)
            and not self.failed_checks
            and not self._missing_evidence
        )

    @property
    def tested(self) -> str:
        """The sizes and runtimes that were tested, in one line."""
        compared = dict.fromkeys(c.runtime for c in self.comparisons)
        return coverage_line(self.coverage, tuple(compared), self.possible_runtimes)

    @property
    def not_tested(self) -> str:
        """The coverage of the checks that were not chosen, in one line; empty if all were."""
        names = [f"{COVERS[check]} ({check})" for check in self.checks_not_run]
        return f"not tested: {', '.join(names)}" if names else ""

    @property
    def disagreeing_references(self) -> tuple[ReferenceDistances, ...]:
        """The layers on which one of the three references disagrees with the others."""
        return tuple(d for d in self.reference_distances if d.alone)

    @property
    def not_compared(self) -> tuple[str, ...]:
        """The tensors that were not compared with the truth on a runtime, in words.

        A runtime without any comparison counts as "anything". One with a failed check is left out,
        since the report has that failure.
        """
        strong = (c for c in self.comparisons if c.check not in WEAK_CHECKS)
        seen = {(c.runtime, c.name) for c in strong}
        compared = {c.runtime for c in self.comparisons}
        failed = {f.runtime for f in self.failed_checks}
        return tuple(
            f"'{name}' on {runtime}" if name else f"anything on {runtime}"
            for runtime in self.runtimes
            if runtime not in failed
            for name in (self.expected_tensors if runtime in compared else ("",))
            if (runtime, name) not in seen
        )

    @property
    def never_finite(self) -> tuple[str, ...]:
        """Return the names of tensors without any finite true value."""
        numbers = {c.name for c in self.comparisons if c.finite}
        return tuple(dict.fromkeys(c.name for c in self.comparisons if c.name not in numbers))

    @property
    def never_decisive(self) -> tuple[str, ...]:
        """The names of tensors whose budgets on a runtime are all too wide."""
        decisive = {(c.runtime, c.name) for c in self.comparisons if c.decisive}
        vague = (c.name for c in self.comparisons if (c.runtime, c.name) not in decisive)
        return tuple(dict.fromkeys(vague))

    @property
    def _missing_evidence(self) -> str:
        """Return why comparisons within their budgets prove nothing; empty if they are proof."""
        layers = [f"'{d.layer}' ({d.alone} is alone)" for d in self.disagreeing_references]
        reasons = (
            ("the references disagree on layer {}", layers),
            ("nothing was compared of {}", self.not_compared),
            ("the model returns no finite number in {}", self.never_finite),
            ("no comparison of {} is decisive, since all budgets are too wide",
             self.never_decisive),
        )  # fmt: skip
        return next((text.format(", ".join(names)) for text, names in reasons if names), "")

    @property
    def verdict(self) -> str:
        """The result in one line, which starts with "passed" or "FAILED"."""
        if not self.comparisons and not self.failed_checks:
            return f"FAILED: {NOTHING}"
        total = len(self.comparisons)
        failed = sum(not comparison.passed for comparison in self.comparisons)
        if failed or self.failed_checks:
            errors = len(self.failed_checks)
            return (
                f"FAILED: {failed} of {total} comparisons outside their budgets,"
                f" {errors} {'check' if errors == 1 else 'checks'} ended with an error"
            )
        if self._missing_evidence:
            return f"FAILED: {self._missing_evidence}"
        known = sum(bool(comparison.known) for comparison in self.comparisons)
        if known:
            return (
                f"passed: {total - known} comparisons within their budgets, {known} with a known"
                " difference"
            )
        return f"passed: {total} comparisons, all within their budgets"


def refused_report(bundle: str, error: RnnDeployError) -> Report:
    """Return the report of a bundle that was refused before anything was compared."""
    failed = FailedCheck("bundle", "open", "manifest", str(error))
    return Report("", bundle, "", {}, (), (failed,), ())


def worst_of_each(
    comparisons: Iterable[Comparison], by: Sequence[str] = ("runtime", "check", "name")
) -> list[Comparison]:
    """Return the failed comparison, or the one nearest to its budget, of each group.

    by: the fields of a comparison that make a group.
    """
    worst: dict[tuple[str, ...], Comparison] = {}
    for comparison in comparisons:
        key = tuple(getattr(comparison, field) for field in by)
        if key not in worst or _rank(comparison) > _rank(worst[key]):
            worst[key] = comparison
    return list(worst.values())


def _rank(comparison: Comparison) -> tuple[bool, float]:
    """Sort failures first, then by the used part of the budget."""
    if comparison.max_abs == 0 or not comparison.budget:
        return not comparison.passed, comparison.max_abs
    return not comparison.passed, comparison.max_abs / comparison.budget
