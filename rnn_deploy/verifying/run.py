"""Cases x runtimes x checks: run everything, compare everything, one report.

    verify --> an UnderTest for each runtime: checks --> hand-over --> localised --> Report

Runtimes in processes of their own are checked side by side, as many at a time as there are cores;
what involves two of them, and the localising, comes after. Golden cases are read one at a time,
so memory does not grow with their number.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Lock
from typing import TypeVar

from rnn_deploy.bundle import Bundle, GoldenCase
from rnn_deploy.runtimes.base import RunOptions, Runtime
from rnn_deploy.runtimes.isolation import LIMIT, IsolatedRuntime, staying
from rnn_deploy.runtimes.registry import runtimes_for
from rnn_deploy.spec import SEQUENCE, STREAM
from rnn_deploy.verifying.diagnose.finding import Finding
from rnn_deploy.verifying.diagnose.original_model import OriginalModel
from rnn_deploy.verifying.judge.checks import CHECKS
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.judge.quantised import note_on, quantisation_on
from rnn_deploy.verifying.judge.tolerance import UserTolerance
from rnn_deploy.verifying.report.environment import environment
from rnn_deploy.verifying.report.evidence import Observation, Record, nothing
from rnn_deploy.verifying.report.report import (
    CheckTiming,
    NodeDevice,
    Report,
    UnfinishedCheck,
    UnknownPlacement,
)
from rnn_deploy.verifying.report.soundness import notes_on
from rnn_deploy.verifying.request import VerificationRequest, fitted, verification_of
from rnn_deploy.verifying.runtime_verification import Result, RuntimeVerification

Progress = Callable[[str], None]
T = TypeVar("T")


def verify(
    bundle: Bundle,
    *,
    runtimes: Sequence[Runtime] | None = None,
    cases: Sequence[GoldenCase] | None = None,
    checks: Sequence[str] = tuple(CHECKS),
    options: RunOptions | None = None,
    asked: UserTolerance | None = None,
    original: OriginalModel | None = None,
    progress: Progress = lambda step: None,
    record: Record = nothing,
    limit: float | None = LIMIT,
) -> Report:
    """Compare runtimes with the golden vectors of `bundle`, or with `cases`.

    runtimes: those to check, by default all that are here; one that was named and is not here
    raises RuntimeUnavailableError. asked: a tolerance in place of the derived one. original: the
    Keras model, where it is at hand, to localise and to explain faults with. record: is given
    every tensor that was compared, one at a time. limit: seconds for one call of a runtime, each
    in a process of its own but for those that say `in_process`; None runs all in this process,
    where one may end or disturb it. InputError for an unknown check or tensor. A report without
    a single comparison has not passed.
    """
    told = _one_at_a_time(record)
    asking = verification_of(
        bundle, cases, checks, options, asked or UserTolerance(), original, told
    )
    chosen, skipped = (runtimes, []) if runtimes is not None else runtimes_for(bundle)
    with ExitStack() as stack:
        if limit is not None:
            chosen = stack.enter_context(staying(chosen, limit))
        results = _results(bundle, chosen, asking, progress)
    comparisons = _only(Comparison, results)
    return Report(
        reference=_truth_of(bundle, cases),
        bundle=str(bundle.root),
        digest=bundle.digest,
        environment=environment(chosen),
        comparisons=comparisons,
        faults=_only(UnfinishedCheck, results),
        skipped=tuple(skipped),
        notes=(
            *notes_on(asking.read(), comparisons, checks, asking.votes),
            *_notes(bundle, chosen, checks),
        ),
        findings=_only(Finding, results),
        placed=_only(NodeDevice, results),
        tolerance=asking.tolerance.asked.said,
        votes=asking.votes,
        timings=_only(CheckTiming, results),
        untold=_only(UnknownPlacement, results),
        due=_due(bundle, checks),
        runtimes=tuple(runtime.name for runtime in chosen),
    )


def _due(bundle: Bundle, checks: Sequence[str]) -> tuple[str, ...]:
    """What the plain checks must have compared, since every model has golden vectors for them."""
    entries = {entry.name: entry for entry in bundle.manifest.entries}
    names = (n for c, n in (("sequence", SEQUENCE), ("states", STREAM)) if c in checks)
    found = (entries[name] for name in names if name in entries)
    return tuple(dict.fromkeys(t.name for entry in found for t in entry.all_outputs))


def _results(
    bundle: Bundle, runtimes: Sequence[Runtime], asking: VerificationRequest, progress: Progress
) -> list[Result]:
    """What every runtime's checks found, in the order of the runtimes."""
    with ExitStack() as stack:
        own = [fitted(asking, quantisation_on(bundle, runtime)) for runtime in runtimes]
        subjects = [
            RuntimeVerification(bundle, runtime, asked, stack)
            for runtime, asked in zip(runtimes, own, strict=True)
        ]

        def checked(subject: RuntimeVerification) -> None:
            progress(f"verifying on {subject.runtime.name}")
            subject.load()
            subject.checks()

        apart = [s for s in subjects if isinstance(s.runtime, IsolatedRuntime)]
        for subject in subjects:
            if subject not in apart:
                checked(subject)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(checked, apart))
        for index, subject in enumerate(subjects):
            subject.hand_over(_next_alike(bundle, subjects, index))
        for subject in subjects:
            subject.localise()
        return [result for subject in subjects for result in subject.results]


def _one_at_a_time(record: Record) -> Record:
    """The same for several threads."""
    lock = Lock()

    def locked(observation: Observation) -> None:
        with lock:
            record(observation)

    return locked


def _next_alike(
    bundle: Bundle, subjects: Sequence[RuntimeVerification], index: int
) -> RuntimeVerification:
    """The next one that runs the same numbers: both in float32, or both quantised alike."""
    others = [*subjects[index + 1 :], *subjects[: index + 1]]
    own = quantisation_on(bundle, subjects[index].runtime)
    return next(other for other in others if quantisation_on(bundle, other.runtime) == own)


def _only(kind: type[T], results: Iterable[Result]) -> tuple[T, ...]:
    return tuple(result for result in results if isinstance(result, kind))


def _notes(bundle: Bundle, runtimes: Sequence[Runtime], checks: Sequence[str]) -> list[str]:
    found = ((runtime, quantisation_on(bundle, runtime)) for runtime in runtimes)
    return [note_on(runtime, how, checks) for runtime, how in found if how is not None]


def _truth_of(bundle: Bundle, cases: Sequence[GoldenCase] | None) -> str:
    how = "golden vectors of the bundle" if cases is None else "recomputed"
    tensorflow = bundle.manifest.tools.get("tensorflow", "?")
    return f"the Keras model under TensorFlow {tensorflow}, judged in float64 where known; {how}"
