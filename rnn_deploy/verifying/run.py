"""Cases x runtimes x checks: run everything, compare everything, one report.

Golden cases are read one at a time, once for TensorFlow's own errors, once per runtime and once
for what they say of the model itself, so memory does not grow with their number.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TypeVar

from rnn_deploy.bundle import Bundle, Case, cases_of
from rnn_deploy.bundle.manifest import Quantisation
from rnn_deploy.bundle.proof import Proof, Votes, proof_of
from rnn_deploy.errors import InputError, MisplacedError, RnnDeployError
from rnn_deploy.runtimes.base import Runner, RunOptions, Runtime
from rnn_deploy.runtimes.isolation import isolated
from rnn_deploy.runtimes.registry import runtimes_for
from rnn_deploy.spec import STREAM, Array, EntryPoint
from rnn_deploy.verifying.checks import CHECKS, RUNNING, Subject, applies
from rnn_deploy.verifying.compare import Comparison, compare
from rnn_deploy.verifying.environment import environment
from rnn_deploy.verifying.evidence import Observation, Record, nothing, place_in_time
from rnn_deploy.verifying.explain import Watched, explained
from rnn_deploy.verifying.failures import Failures
from rnn_deploy.verifying.finding import Finding
from rnn_deploy.verifying.known import why_known
from rnn_deploy.verifying.localise import finding_of
from rnn_deploy.verifying.parts import Run
from rnn_deploy.verifying.placing import CHECK as PLACEMENT
from rnn_deploy.verifying.placing import placed
from rnn_deploy.verifying.quantised import (
    fit_checks,
    noise_budgets,
    note_on,
    quantisation_on,
)
from rnn_deploy.verifying.report import Fault, Placed, Report
from rnn_deploy.verifying.soundness import notes_on
from rnn_deploy.verifying.tolerance import Asked, Tolerance, tolerance_of

Progress = Callable[[str], None]
Result = Comparison | Fault | Finding | Placed
T = TypeVar("T")


@dataclass(frozen=True)
class Verification:
    """What is asked of every runtime: the checks, the budgets, how to load."""

    checks: Sequence[str]
    tolerance: Tolerance
    states: frozenset[str]
    options: RunOptions
    read: Callable[[], Iterable[Case]]
    entries: Sequence[EntryPoint]
    bounds: Mapping[str, Array]
    votes: tuple[Votes, ...] = ()
    oracle: Run | None = None
    watched: Watched | None = None
    record: Record = nothing


def verify(
    bundle: Bundle,
    *,
    runtimes: Sequence[Runtime] | None = None,
    cases: Sequence[Case] | None = None,
    checks: Sequence[str] = tuple(CHECKS),
    options: RunOptions | None = None,
    asked: Asked | None = None,
    oracle: Run | None = None,
    watched: Watched | None = None,
    progress: Progress = lambda step: None,
    record: Record = nothing,
    limit: float | None = None,
) -> Report:
    """Compare runtimes with the golden vectors of `bundle`, or with `cases`.

    runtimes: those to check, by default all that are here; one that was named and is not here
    raises RuntimeUnavailableError. asked: a tolerance in place of the derived one. oracle: the
    model in float64, where it is at hand, to localise with. watched: its recurrent calls, to
    explain faults with. record: is given every tensor that was compared. limit: isolate runtimes
    in processes of their own, with so many seconds for a call. InputError for an unknown check or
    tensor. A report without a single comparison has not passed.
    """
    asking = _asking(bundle, cases, checks, options, asked or Asked(), oracle, watched, record)
    chosen, skipped = (runtimes, []) if runtimes is not None else runtimes_for(bundle)
    if limit is not None:
        chosen = isolated(chosen, limit)
    results: list[Result] = []
    for index, runtime in enumerate(chosen):
        progress(f"verifying on {runtime.name}")
        partner = _next_alike(bundle, chosen, index)
        own = _asked_of(asking, quantisation_on(bundle, runtime))
        results += _verified(bundle, runtime, partner, asking.read(), own)
    comparisons = _only(Comparison, results)
    return Report(
        reference=_truth_of(bundle, cases),
        bundle=str(bundle.root),
        digest=bundle.digest,
        environment=environment(chosen),
        comparisons=comparisons,
        faults=_only(Fault, results),
        skipped=tuple(skipped),
        notes=(
            *notes_on(asking.read(), comparisons, checks, asking.votes),
            *_notes(bundle, chosen, checks),
        ),
        findings=_only(Finding, results),
        placed=_only(Placed, results),
        tolerance=asking.tolerance.asked.said,
        votes=asking.votes,
    )


def _only(kind: type[T], results: Iterable[Result]) -> tuple[T, ...]:
    return tuple(result for result in results if isinstance(result, kind))


def _asking(
    bundle: Bundle,
    cases: Sequence[Case] | None,
    checks: Sequence[str],
    options: RunOptions | None,
    asked: Asked,
    oracle: Run | None,
    watched: Watched | None,
    record: Record,
) -> Verification:
    unknown = [name for name in checks if name not in CHECKS]
    if unknown:
        raise InputError(f"no check {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    entries = bundle.manifest.entries
    dtypes = {tensor.name: tensor.dtype for entry in entries for tensor in entry.all_outputs}
    asked.check_names(dtypes)
    proof = proof_of(bundle)
    read = _reader(bundle, cases, proof)
    return Verification(
        checks=checks,
        tolerance=tolerance_of(read, dtypes, asked),
        states=frozenset(state.next_name for entry in entries for state in entry.states),
        options=options or RunOptions(),
        read=read,
        entries=entries,
        bounds={n: r.bound for n, r in proof.running.items() if r.bound is not None},
        votes=proof.votes,
        oracle=oracle,
        watched=watched,
        record=record,
    )


def _next_alike(bundle: Bundle, runtimes: Sequence[Runtime], index: int) -> Runtime:
    """The next runtime that runs the same numbers: both in float32, or both quantised alike."""
    others = [*runtimes[index + 1 :], *runtimes[: index + 1]]
    own = quantisation_on(bundle, runtimes[index])
    return next(other for other in others if quantisation_on(bundle, other) == own)


def _asked_of(asking: Verification, quantisation: Quantisation | None) -> Verification:
    """What is asked of a runtime whose artifact is quantised so."""
    tolerance = replace(asking.tolerance, noise=noise_budgets(quantisation))
    return replace(asking, checks=fit_checks(quantisation, asking.checks), tolerance=tolerance)


def _notes(bundle: Bundle, runtimes: Sequence[Runtime], checks: Sequence[str]) -> list[str]:
    found = ((runtime, quantisation_on(bundle, runtime)) for runtime in runtimes)
    return [note_on(runtime, how, checks) for runtime, how in found if how is not None]


def _verified(
    bundle: Bundle,
    runtime: Runtime,
    partner: Runtime,
    cases: Iterable[Case],
    asking: Verification,
) -> Iterator[Result]:
    """Every check of every case on one runtime; `partner` takes over where states are handed on."""
    with ExitStack() as stack:
        entries = [entry.name for entry in bundle.manifest.entries]
        try:
            loaded = _loaded(bundle, runtime, entries, asking, stack)
        except MisplacedError as error:
            yield Fault(runtime.name, PLACEMENT, "golden vectors", str(error))
            return
        subject = Subject(loaded, bounds=asking.bounds)
        yield from placed(runtime, bundle, asking.options)
        if "hand-over" in asking.checks and STREAM in entries:
            subject = _with_partner(subject, bundle, runtime, partner, asking, stack)
        failures = Failures(asking.read)
        for case, check in ((c, k) for c in cases for k in asking.checks if applies(k, c)):
            for result in _checked(subject, runtime.name, check, case, asking):
                yield result
                if isinstance(result, Comparison) and not result.passed:
                    failures.note(result)
        said: dict[str, str] = {}  # of a layer, what fault it seems to have
        for failed, case, single in failures.worth_localising():
            finding = finding_of(subject, failed, case, asking.tolerance, single, asking.oracle)
            if finding.layer not in said:
                said[finding.layer] = _explained(finding, subject, asking)
            yield replace(finding, explained=said[finding.layer])


def _with_partner(
    subject: Subject,
    bundle: Bundle,
    runtime: Runtime,
    partner: Runtime,
    asking: Verification,
    stack: ExitStack,
) -> Subject:
    """With what takes over: `partner`, or where that does not load, the runtime once more."""
    try:
        runners = _loaded(bundle, partner, [STREAM], asking, stack)
    except MisplacedError:  # told as a fault of its own
        partner, runners = runtime, _loaded(bundle, runtime, [STREAM], asking, stack)
    name = partner.name if partner is not runtime else f"another {runtime.name}"
    return replace(subject, partner=runners, partner_name=name)


def _explained(finding: Finding, subject: Subject, asking: Verification) -> str:
    """The fault that would give just these values, where the model is at hand."""
    runner = subject.runners.get(STREAM)
    if asking.watched is None or runner is None or not finding.layer:
        return ""
    return explained(finding, runner, asking.read(), asking.watched, asking.tolerance)


def _loaded(
    bundle: Bundle,
    runtime: Runtime,
    entries: Sequence[str],
    asking: Verification,
    stack: ExitStack,
) -> dict[str, Runner]:
    runners = {}
    for entry in entries:
        runners[entry] = runtime.load(bundle, replace(asking.options, entry=entry))
        stack.callback(runners[entry].close)
    return runners


def _checked(
    subject: Subject, runtime: str, check: str, case: Case, asking: Verification
) -> Iterator[Comparison | Fault]:
    try:
        for found in CHECKS[check](subject, case):
            expected = case.truth if found.expected is None else found.expected
            for name, value in found.values.items():
                at = (runtime, check, case.name, name, found.detail)
                bound = found.bounds.get(name)
                yield _compared(at, value, expected[name], bound, case, asking)
    except RnnDeployError as error:
        yield Fault(runtime, check, case.name, str(error))


def _compared(
    at: tuple[str, str, str, str, str],
    value: Array,
    expected: Array,
    bound: Array | None,
    case: Case,
    asking: Verification,
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
    )
    comparison = replace(comparison, known=why_known(comparison, value, expected))
    reference = case.reference.get(name) if case.oracle and expected is case.truth[name] else None
    axis, steps = place_in_time(asking.entries, name, case, value)
    asking.record(Observation(comparison, value, expected, reference, bound, axis, steps))
    return comparison


def _reader(
    bundle: Bundle, cases: Sequence[Case] | None, proof: Proof
) -> Callable[[], Iterable[Case]]:
    """The cases, each time anew; last the one whose running bound is known."""
    followed: list[Case] = []
    if proof.running:
        true = {name: running.true for name, running in proof.running.items()}
        ours = {name: running.reference for name, running in proof.running.items()}
        followed = [Case("followed", (STREAM,), (), proof.feeds, ours, true, check=RUNNING)]

    def read() -> Iterator[Case]:
        case = None
        for case in cases_of(bundle, special=True) if cases is None else cases:
            yield case
        if case is not None:  # where there is nothing else, it proves nothing
            yield from followed

    return read


def _truth_of(bundle: Bundle, cases: Sequence[Case] | None) -> str:
    how = "golden vectors of the bundle" if cases is None else "recomputed"
    tensorflow = bundle.manifest.tools.get("tensorflow", "?")
    return f"the Keras model under TensorFlow {tensorflow}, judged in float64 where known; {how}"
