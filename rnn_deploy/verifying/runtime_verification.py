"""One runtime under verification: loaded once, checked, what failed localised.

    load --> checks --> hand_over (another runtime takes over) --> localised

`load` and `checks` touch nothing but this runtime, so those of several may run side by side. Golden
cases are read one at a time.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from time import perf_counter

from rnn_deploy.bundle import Bundle, GoldenCase
from rnn_deploy.errors import MisplacedError, RnnDeployError
from rnn_deploy.runtimes.base import Runner, Runtime
from rnn_deploy.spec import SEQUENCE, STREAM, Array
from rnn_deploy.verifying.checked_runner import CheckedRunner, FilesRun, steps_apart, watched
from rnn_deploy.verifying.diagnose.by_layer import LayerReport, by_layer
from rnn_deploy.verifying.diagnose.explain import explained
from rnn_deploy.verifying.diagnose.failures import RuntimeFailures
from rnn_deploy.verifying.diagnose.finding import Finding
from rnn_deploy.verifying.diagnose.localise import finding_of
from rnn_deploy.verifying.judge.checks import CHECKS, HAND_OVER, CheckSubject, applies
from rnn_deploy.verifying.judge.compare import Comparison, compare
from rnn_deploy.verifying.judge.known_differences import why_known
from rnn_deploy.verifying.report.evidence import Observation, place_in_time
from rnn_deploy.verifying.report.node_devices import CHECK as PLACEMENT
from rnn_deploy.verifying.report.node_devices import placed
from rnn_deploy.verifying.report.report import (
    CheckTiming,
    NodeDevice,
    UnfinishedCheck,
    UnknownPlacement,
)
from rnn_deploy.verifying.request import VerificationRequest

Result = Comparison | UnfinishedCheck | NodeDevice | UnknownPlacement | CheckTiming | Finding


class RuntimeVerification:
    """One runtime. results: what was found so far, in order."""

    def __init__(
        self, bundle: Bundle, runtime: Runtime, asking: VerificationRequest, stack: ExitStack
    ) -> None:
        self.runtime = runtime
        self.results: list[Result] = []
        self._bundle, self._asking, self._stack = bundle, asking, stack
        self._failures = RuntimeFailures(asking.read)
        self._subject: CheckSubject | None = None
        self._ran = FilesRun()

    def load(self) -> None:
        """Load every entry point; a node that was placed elsewhere is a fault.

        RuntimeUnavailableError where the runtime is not here, or takes none of it.
        """
        try:
            runners = {entry.name: self._loaded(entry.name) for entry in self._asking.entries}
            by_stream = self._by_stream() if STREAM in runners else None
        except MisplacedError as error:
            self.results.append(
                UnfinishedCheck(self.runtime.name, PLACEMENT, "golden vectors", str(error))
            )
            return
        self._subject = CheckSubject(runners, by_stream, bounds=self._asking.bounds, ran=self._ran)

    def checks(self) -> None:
        """Placement, and every check that needs no other runtime."""
        if self._subject is None:
            return
        self.results += placed(self.runtime, self._bundle, self._asking.options)
        wanted = [check for check in self._asking.checks if check != HAND_OVER]
        for case in self._asking.read():
            for check in wanted:
                self._check(self._subject, check, case)

    def hand_over(self, partner: "RuntimeVerification") -> None:
        """The check in which `partner` takes over; where that did not load, this one once more."""
        subject = self._subject
        if HAND_OVER not in self._asking.checks or subject is None or subject.stream is None:
            return
        if partner is self or partner._subject is None:
            runners, name = {STREAM: self._loaded(STREAM)}, f"another {self.runtime.name}"
        else:
            theirs = partner._subject.runners[STREAM]
            assert isinstance(theirs, CheckedRunner)
            runners, name = {STREAM: theirs.noting(self._ran)}, partner.runtime.name
        self._subject = replace(subject, partner=runners, partner_name=name)
        for case in self._asking.read():
            self._check(self._subject, HAND_OVER, case)

    def localise(self) -> None:
        """Where each check that failed first leaves the truth, and what fault it may be."""
        if self._subject is None:
            return
        original = self._asking.original
        oracle = None if original is None else original.oracle
        said: dict[str, str] = {}  # of a layer, what fault it seems to have
        layers: dict[str, LayerReport] = {}  # by entry point
        for failed, case, single in self._failures.worth_localising():
            found = finding_of(self._subject, failed, case, self._asking.tolerance, single, oracle)
            if found.layer not in said:
                said[found.layer] = self._explained(found)
            found = replace(found, explained=said[found.layer])
            entry = _entry_of(failed, case)
            if entry not in layers:
                layers[entry] = self._layers(entry, case, single)
                first = layers[entry].where if found.explained else layers[entry].said
                found = replace(found, by_layer=first)
            self.results.append(found)

    def _loaded(self, entry: str, *, step_form: bool = True) -> CheckedRunner:
        options = replace(self._asking.options, entry=entry, step_form=step_form)
        runner = self.runtime.load(self._bundle, options)
        self._stack.callback(runner.close)
        return watched(runner, self.runtime, self._bundle, options, self._ran)

    def _by_stream(self) -> Runner | None:
        options = replace(self._asking.options, entry=STREAM)
        apart = steps_apart(self.runtime, self._bundle, options)
        return self._loaded(STREAM, step_form=False) if apart else None

    def _check(self, subject: CheckSubject, check: str, case: GoldenCase) -> None:
        """Run one check of one case; what it finds, and how long it took."""
        if not applies(check, case):
            return
        began, before = perf_counter(), len(self.results)
        for result in _checked(subject, self.runtime.name, check, case, self._asking):
            self.results.append(result)
            if isinstance(result, Comparison) and not result.passed:
                self._failures.note(result)
        if len(self.results) > before:
            took = perf_counter() - began
            self.results.append(CheckTiming(self.runtime.name, check, case.name, took))

    def _explained(self, finding: Finding) -> str:
        """The fault that would give just these values, where the model is at hand."""
        original = self._asking.original
        runner = None if self._subject is None else self._subject.runners.get(STREAM)
        if original is None or runner is None or not finding.layer:
            return ""
        return explained(finding, runner, self._asking.read(), original, self._asking.tolerance)

    def _layers(self, entry: str, case: GoldenCase, single: GoldenCase | None) -> LayerReport:
        """Every layer's output beside the original's; none where it is not at hand."""
        if self._asking.original is None:
            return LayerReport(())
        options = replace(self._asking.options, entry=entry)
        given = [case.feeds, *([] if single is None or entry != STREAM else [single.feeds])]
        try:
            return by_layer(self._bundle, self.runtime, options, given, self._asking.original)
        except RnnDeployError:
            return LayerReport(())  # none can be seen there; what was found without stands


def _entry_of(failed: Comparison, case: GoldenCase) -> str:
    """The entry point to look into for the layer that differs."""
    return SEQUENCE if failed.check == SEQUENCE or STREAM not in case.entries else STREAM


def _checked(
    subject: CheckSubject, runtime: str, check: str, case: GoldenCase, asking: VerificationRequest
) -> Iterator[Comparison | UnfinishedCheck]:
    subject.ran.taken()
    try:
        for found in CHECKS[check](subject, case):
            files = subject.ran.taken()
            expected = case.truth if found.expected is None else found.expected
            for name, value in found.values.items():
                at = (runtime, check, case.name, name, found.detail)
                bound = found.bounds.get(name)
                yield _compared(at, value, expected[name], bound, case, asking, files)
    except RnnDeployError as error:
        yield UnfinishedCheck(runtime, check, case.name, str(error), subject.ran.taken())


def _compared(
    at: tuple[str, str, str, str, str],
    value: Array,
    expected: Array,
    bound: Array | None,
    case: GoldenCase,
    asking: VerificationRequest,
    files: tuple[str, ...],
) -> Comparison:
    runtime, check, of, name, detail = at
    allowed = asking.tolerance.of(case, name)
    bound = None if asking.tolerance.asked.of(name) else bound
    comparison = compare(
        value,
        expected,
        runtime=runtime,
        check=check,
        case=of,
        name=name,
        kind="state" if name in asking.states else "output",
        budget=allowed.budget,
        reference_error=allowed.own,
        rtol=allowed.rtol,
        bound=bound,
        detail=detail,
        decisive=allowed.decisive,
        files=files,
    )
    comparison = replace(comparison, known=why_known(comparison, value, expected, case.feeds))
    reference = case.reference.get(name) if case.oracle and expected is case.truth[name] else None
    axis, steps = place_in_time(asking.entries, name, case, value)
    asking.record(Observation(comparison, value, expected, reference, bound, axis, steps))
    return comparison
