"""Verify one runtime: load it once, run the checks, localise the failures.

    load --> check --> hand_over (another runtime continues) --> localise

`load` and `check` use only this runtime, so several can run at the same time. Golden cases are read
one at a time.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from time import perf_counter

from rnn_deploy.bundle import Bundle, GoldenCase
from rnn_deploy.errors import MisplacedError, RnnDeployError
from rnn_deploy.runtimes.base import Runner, Runtime
from rnn_deploy.spec import DECODE, ENCODE, SEQUENCE, STREAM
from rnn_deploy.verifying.checked_runner import (
    CheckedRunner,
    FilesRun,
    has_step_file,
    load_checked,
)
from rnn_deploy.verifying.diagnose.by_layer import LayerReport, by_layer
from rnn_deploy.verifying.diagnose.explain import explain_finding
from rnn_deploy.verifying.diagnose.failure_log import FailureLog
from rnn_deploy.verifying.diagnose.finding import Finding
from rnn_deploy.verifying.diagnose.localise import localise
from rnn_deploy.verifying.judge.checks import EVERY_CHECK, HAND_OVER, applies
from rnn_deploy.verifying.judge.compare import (
    Comparison,
    ComparisonContext,
    Kind,
    TensorPair,
    compare,
    with_reference,
)
from rnn_deploy.verifying.judge.given import with_values
from rnn_deploy.verifying.judge.known_differences import why_known
from rnn_deploy.verifying.judge.parts import KnownCase
from rnn_deploy.verifying.judge.placement import CHECK as PLACEMENT
from rnn_deploy.verifying.judge.placement import node_devices
from rnn_deploy.verifying.judge.subject import CheckResult, CheckSubject
from rnn_deploy.verifying.report.coverage import RuntimeCoverage, coverage_of
from rnn_deploy.verifying.report.observation import Observation, place_in_time
from rnn_deploy.verifying.report.report import (
    CheckTiming,
    FailedCheck,
    NodeDevice,
    UnknownPlacement,
)
from rnn_deploy.verifying.request import VerificationRequest

Result = (
    Comparison
    | FailedCheck
    | NodeDevice
    | UnknownPlacement
    | CheckTiming
    | Finding
    | RuntimeCoverage
)


class RuntimeVerification:
    """The verification of one runtime. results: everything so far, in order."""

    def __init__(
        self, bundle: Bundle, runtime: Runtime, request: VerificationRequest, stack: ExitStack
    ) -> None:
        self.runtime = runtime
        self.results: list[Result] = []
        self._bundle, self._request, self._stack = bundle, request, stack
        self._failed = FailureLog(request.read)
        self._subject: CheckSubject | None = None
        self._files_run = FilesRun()
        self._shapes: set[tuple[str, int, int]] = set()  # check, rows, steps

    def load(self) -> None:
        """Load every entry point; a misplaced node is a failed check.

        Raises RuntimeUnavailableError if the runtime is not available, or loads none of them.
        """
        try:
            runners = {name: self._load(name) for name in self._entries()}
            stream_only = self._load_stream_only() if STREAM in runners else None
        except MisplacedError as error:
            self.results.append(
                FailedCheck(self.runtime.name, PLACEMENT, "golden vectors", str(error))
            )
            return
        self._subject = CheckSubject(
            runners, stream_only, bounds=self._request.bounds, files_run=self._files_run
        )

    def fail_to_load(self, error: RnnDeployError) -> None:
        """Record that the runtime cannot load the model, as a failed check."""
        self.results.append(FailedCheck(self.runtime.name, "load", "golden vectors", str(error)))

    def check(self) -> None:
        """Check the placement, and run every check that needs no other runtime."""
        if self._subject is None:
            return
        self.results += node_devices(self.runtime, self._bundle, self._request.options.run)
        checks = [check for check in self._request.checks if check != HAND_OVER]
        for case in self._request.read():
            for check in checks:
                self._run_check(self._subject, check, case)

    def hand_over(self, partner: "RuntimeVerification") -> None:
        """Run the check hand-over; if `partner` is not loaded, a second instance continues."""
        subject = self._subject
        if HAND_OVER not in self._request.checks or subject is None or subject.stream is None:
            return
        if partner is self or partner._subject is None:
            runners, name = {STREAM: self._load(STREAM)}, f"another {self.runtime.name}"
        else:
            theirs = partner._subject.runners[STREAM]
            assert isinstance(theirs, CheckedRunner)
            runners, name = {STREAM: theirs.noting(self._files_run)}, partner.runtime.name
        self._subject = replace(subject, partner=runners, partner_name=name)
        for case in self._request.read():
            self._run_check(self._subject, HAND_OVER, case)

    def localise(self) -> None:
        """Find the first wrong place of each failed check, and the fault that explains it."""
        if self._subject is None:
            return
        original = self._request.options.original
        oracle = None if original is None else original.oracle
        faults: dict[str, str] = {}  # by layer
        layers: dict[str, LayerReport] = {}  # by entry point
        for failed, case, single_steps in self._failed.to_localise():
            known = KnownCase(case, single_steps, oracle)
            finding = localise(self._subject, failed, known, self._request.budgets)
            if finding.layer not in faults:
                faults[finding.layer] = self._explain(finding)
            finding = replace(finding, fault=faults[finding.layer])
            entry = _entry_of(failed, case)
            if entry not in layers:
                layers[entry] = report = self._by_layer(entry, known)
                first = report.first_difference if finding.fault else report.summary
                finding = replace(finding, by_layer=first)
            self.results.append(finding)

    def coverage(self) -> tuple[RuntimeCoverage, ...]:
        """Return the largest calls of the checks; empty if nothing was run."""
        return coverage_of(self.runtime.name, self._shapes)

    def _entries(self) -> Iterator[str]:
        """Yield the entry points to load: not every format has encode and decode."""
        for entry in self._request.entries:
            artifact = self._bundle.manifest.artifact(self.runtime.format, entry.name)
            if entry.name not in (ENCODE, DECODE) or artifact is not None:
                yield entry.name

    def _load(self, entry: str, *, step_form: bool = True) -> CheckedRunner:
        options = replace(self._request.options.run, entry=entry, step_form=step_form)
        runner = load_checked(self.runtime, self._bundle, options, self._files_run)
        self._stack.callback(runner.close)
        return runner

    def _load_stream_only(self) -> Runner | None:
        options = replace(self._request.options.run, entry=STREAM)
        apart = has_step_file(self.runtime, self._bundle, options)
        return self._load(STREAM, step_form=False) if apart else None

    def _run_check(self, subject: CheckSubject, check: str, case: GoldenCase) -> None:
        """Run one check of one case, and measure its time."""
        if not applies(check, case):
            return
        start, before = perf_counter(), len(self.results)
        self._files_run.take_shapes()
        for result in _compare_check(subject, self.runtime.name, check, case, self._request):
            self.results.append(result)
            if isinstance(result, Comparison) and not result.passed:
                self._failed.note(result)
        self._shapes |= {(check, *shape) for shape in self._files_run.take_shapes()}
        if len(self.results) > before:
            seconds = perf_counter() - start
            self.results.append(CheckTiming(self.runtime.name, check, case.name, seconds))

    def _explain(self, finding: Finding) -> str:
        """Return the fault that explains a finding, if the Keras model is available."""
        original = self._request.options.original
        runner = None if self._subject is None else self._subject.runners.get(STREAM)
        if original is None or runner is None or not finding.layer:
            return ""
        cases, budgets = self._request.read(), self._request.budgets
        return explain_finding(finding, runner, cases, original, budgets)

    def _by_layer(self, entry: str, known: KnownCase) -> LayerReport:
        """Compare every layer's output, if the Keras model is available."""
        options = self._request.options
        if options.original is None:
            return LayerReport(())
        steps = known.single_steps if entry == STREAM else None
        names = {tensor.name for tensor in self._bundle.manifest.entry(entry).all_inputs}
        cases = [case.feeds for case in (known.case, steps) if case is not None]
        feeds = [{n: value for n, value in each.items() if n in names} for each in cases]
        run = replace(options.run, entry=entry)
        try:
            return by_layer(self._bundle, self.runtime, run, feeds, options.original)
        except RnnDeployError:
            return LayerReport(())  # the layers are not visible; the finding stays without them


def _entry_of(failed: Comparison, case: GoldenCase) -> str:
    """Return the entry point whose layers are compared."""
    return SEQUENCE if failed.check == SEQUENCE or STREAM not in case.entries else STREAM


def _compare_check(
    subject: CheckSubject, runtime: str, check: str, case: GoldenCase, request: VerificationRequest
) -> Iterator[Comparison | FailedCheck]:
    subject.files_run.take()
    groups = _Groups()
    try:
        for result in EVERY_CHECK[check](subject, case):
            files = subject.files_run.take()
            expected = case.truth if result.expected is None else result.expected
            judged = with_values(case, expected)
            for name, value in result.values.items():
                kind: Kind = "state" if name in request.states else "output"
                observation = _compare_tensor(
                    TensorPair(value, expected[name]),
                    ComparisonContext(runtime, check, case.name, name, kind, result.detail, files),
                    result,
                    judged,
                    request,
                )
                if not groups.keep(observation, result.group):
                    request.options.record(observation)
                    yield observation.comparison
    except RnnDeployError as error:
        yield FailedCheck(runtime, check, case.name, str(error), subject.files_run.take())
    for observation in groups.worst():
        request.options.record(observation)
        yield observation.comparison


class _Groups:
    """The right observations of groups; for each tensor the one nearest to its budget."""

    def __init__(self) -> None:
        self._worst: dict[tuple[str, str, tuple[str, ...]], Observation] = {}

    def keep(self, observation: Observation, group: str) -> bool:
        """Keep an observation if it is right and in a group; return whether it is."""
        c = observation.comparison
        if not group or not c.within:
            return False
        key = group, c.name, c.files
        before = self._worst.get(key)
        if before is None or _used(c) > _used(before.comparison):
            self._worst[key] = observation
        return True

    def worst(self) -> Iterator[Observation]:
        """Yield one observation of each group and tensor."""
        for (group, _, _), o in self._worst.items():
            yield replace(o, comparison=replace(o.comparison, detail=group), grouped=True)


def _used(c: Comparison) -> tuple[bool, bool, float]:
    return c.decisive, c.finite, c.max_abs / c.budget if c.budget else 0.0


def _compare_tensor(
    pair: TensorPair,
    context: ComparisonContext,
    result: CheckResult,
    case: GoldenCase,
    request: VerificationRequest,
) -> Observation:
    name = context.name
    bound, rounding = result.bounds.get(name), result.rounding
    budget = request.budgets.budget_of(case, name, bound, rounding)
    comparison = compare(pair, context, budget)
    comparison = replace(comparison, known=why_known(comparison, pair, case.feeds))
    against_truth = case.oracle and pair.truth is case.truth[name]
    reference = case.reference.get(name) if against_truth else None
    comparison = with_reference(comparison, pair.truth, reference)
    axis, steps = place_in_time(request.entries, name, case, pair.actual)
    return Observation(comparison, pair, budget, reference, axis, steps)
