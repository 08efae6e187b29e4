"""Cases x runtimes x checks: run everything, compare everything, one report.

Golden cases are read one at a time, once for TensorFlow's own errors, once per runtime and once
for what they say of the model itself, so memory does not grow with their number.
"""

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from rnn_deploy.bundle import Bundle, Case, read_cases
from rnn_deploy.bundle.proof import Proof, proof_of
from rnn_deploy.errors import InputError, RnnDeployError
from rnn_deploy.runtimes.base import Runner, RunOptions, Runtime
from rnn_deploy.runtimes.registry import runtimes_for
from rnn_deploy.spec import STREAM, Array
from rnn_deploy.verifying.checks import CHECKS, Subject, applies
from rnn_deploy.verifying.compare import Comparison, compare
from rnn_deploy.verifying.failures import Failures
from rnn_deploy.verifying.finding import Finding
from rnn_deploy.verifying.known import why_known
from rnn_deploy.verifying.localise import finding_of
from rnn_deploy.verifying.parts import Run
from rnn_deploy.verifying.report import Fault, Report
from rnn_deploy.verifying.soundness import notes_on
from rnn_deploy.verifying.tolerance import Asked, Tolerance, tolerance_of

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Verification:
    """What is asked of every runtime: the checks, the budgets, how to load."""

    checks: Sequence[str]
    tolerance: Tolerance
    states: frozenset[str]
    options: RunOptions
    read: Callable[[], Iterable[Case]]
    bounds: Mapping[str, Array]
    oracle: Run | None = None


def verify(
    bundle: Bundle,
    *,
    runtimes: Sequence[Runtime] | None = None,
    cases: Sequence[Case] | None = None,
    checks: Sequence[str] = tuple(CHECKS),
    options: RunOptions | None = None,
    asked: Asked | None = None,
    oracle: Run | None = None,
    progress: Progress = lambda step: None,
) -> Report:
    """Compare runtimes with the golden vectors of `bundle`, or with `cases`.

    runtimes: those to check, by default all that are here; one that was named and is not here
    raises RuntimeUnavailableError. asked: a tolerance in place of the derived one. oracle: the
    model in float64, where it is at hand, to localise with. InputError for an unknown check or
    tensor. A report without a single comparison has not passed.
    """
    unknown = [name for name in checks if name not in CHECKS]
    if unknown:
        raise InputError(f"no check {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    asked = asked or Asked()
    dtypes = {t.name: t.dtype for entry in bundle.manifest.entries for t in entry.all_outputs}
    asked.check_names(dtypes)
    chosen, skipped = (runtimes, []) if runtimes is not None else runtimes_for(bundle)
    proof = proof_of(bundle)
    read = _reader(bundle, cases, proof)
    states = frozenset(s.next_name for entry in bundle.manifest.entries for s in entry.states)
    tolerance = tolerance_of(read, dtypes, asked)
    bounds = {n: r.bound for n, r in proof.running.items() if r.bound is not None}
    options = options or RunOptions()
    asking = Verification(checks, tolerance, states, options, read, bounds, oracle)
    comparisons: list[Comparison] = []
    faults: list[Fault] = []
    findings: list[Finding] = []
    kept = {Comparison: comparisons, Fault: faults, Finding: findings}
    for index, runtime in enumerate(chosen):
        progress(f"verifying on {runtime.name}")
        partner = chosen[(index + 1) % len(chosen)]
        for result in _verified(bundle, runtime, partner, read(), asking):
            kept[type(result)].append(result)  # type: ignore[attr-defined]
    return Report(
        reference=_truth_of(bundle, cases),
        bundle=str(bundle.root),
        digest=bundle.digest,
        environment=_environment(chosen),
        comparisons=tuple(comparisons),
        faults=tuple(faults),
        skipped=tuple(skipped),
        notes=notes_on(read(), comparisons, checks, proof.votes),
        findings=tuple(findings),
        votes=proof.votes,
    )


def _verified(
    bundle: Bundle,
    runtime: Runtime,
    partner: Runtime,
    cases: Iterable[Case],
    asking: Verification,
) -> Iterator[Comparison | Fault | Finding]:
    """Every check of every case on one runtime; `partner` takes over where states are handed on."""
    with ExitStack() as stack:
        entries = [entry.name for entry in bundle.manifest.entries]
        subject = Subject(_loaded(bundle, runtime, entries, asking, stack), bounds=asking.bounds)
        if "hand-over" in asking.checks and STREAM in entries:
            name = partner.name if partner is not runtime else f"another {runtime.name}"
            subject = replace(
                subject,
                partner=_loaded(bundle, partner, [STREAM], asking, stack),
                partner_name=name,
            )
        failures = Failures(asking.read)
        for case, check in ((c, k) for c in cases for k in asking.checks if applies(k, c)):
            for result in _checked(subject, runtime.name, check, case, asking):
                yield result
                if isinstance(result, Comparison) and not result.passed:
                    failures.note(result)
        for failed, case, single in failures.worth_localising():
            yield finding_of(subject, failed, case, asking.tolerance, single, asking.oracle)


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
        bound=None if asking.tolerance.asked.of(name) else bound,
        detail=detail,
        decisive=allowed.decisive,
    )
    return replace(comparison, known=why_known(comparison, value, expected))


def _reader(
    bundle: Bundle, cases: Sequence[Case] | None, proof: Proof
) -> Callable[[], Iterable[Case]]:
    """The cases, each time anew; last the one whose running bound is known."""
    followed: list[Case] = []
    if proof.running:
        true = {name: running.true for name, running in proof.running.items()}
        ours = {name: running.reference for name, running in proof.running.items()}
        check = "running-bound"
        followed = [Case("followed", (STREAM,), (), proof.feeds, ours, true, check=check)]
    place = bundle.checked(bundle.manifest.golden)

    def read() -> Iterator[Case]:
        case = None
        for case in read_cases(place, special=True) if cases is None else cases:
            yield case
        if case is not None:  # where there is nothing else, it proves nothing
            yield from followed

    return read


def _truth_of(bundle: Bundle, cases: Sequence[Case] | None) -> str:
    how = "golden vectors of the bundle" if cases is None else "recomputed"
    tensorflow = bundle.manifest.tools.get("tensorflow", "?")
    return f"the Keras model under TensorFlow {tensorflow}, judged in float64 where known; {how}"


def _environment(runtimes: Sequence[Runtime]) -> dict[str, str]:
    facts = {
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
    }
    return facts | {runtime.name: runtime.version() or "?" for runtime in runtimes}
