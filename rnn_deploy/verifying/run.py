"""Verify a bundle: run every check of every golden case on every runtime, and compare.

    verify --> a RuntimeVerification for each runtime: checks --> hand-over --> localise --> Report

Runtimes in their own processes are checked at the same time, as many as there are cores. After
that come hand-over, which needs two runtimes, and localisation. Golden cases are read one at a
time, so that memory does not grow with their number.
"""

import os
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from threading import Lock

from rnn_deploy.bundle import Bundle, GoldenCase
from rnn_deploy.errors import RuntimeUnavailableError
from rnn_deploy.runtimes.base import RunOptions, Runtime
from rnn_deploy.runtimes.isolation import TIME_LIMIT, IsolatedRuntime, staying
from rnn_deploy.runtimes.registry import SkippedRuntime, runtimes_for
from rnn_deploy.spec import Array
from rnn_deploy.verifying.assembling import only, report_of
from rnn_deploy.verifying.diagnose.original_model import OriginalModel
from rnn_deploy.verifying.diagnose.weight_relation import relation
from rnn_deploy.verifying.judge.checks import CHECKS
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.judge.given import GivenSizes
from rnn_deploy.verifying.judge.quantisation import quantisation_on
from rnn_deploy.verifying.judge.tolerance import UserTolerance
from rnn_deploy.verifying.judge.weights import CHECK as WEIGHTS
from rnn_deploy.verifying.judge.weights import changed_weights
from rnn_deploy.verifying.report.observation import Observation, Record, record_nothing
from rnn_deploy.verifying.report.report import (
    FailedCheck,
    Report,
)
from rnn_deploy.verifying.request import VerificationOptions, VerificationRequest, request_for
from rnn_deploy.verifying.runtime_verification import Result, RuntimeVerification

REQUIRED = "required"
Progress = Callable[[str], None]


def verify(
    bundle: Bundle,
    *,
    runtimes: Sequence[Runtime] | None = None,
    cases: Sequence[GoldenCase] | None = None,
    checks: Sequence[str] = tuple(CHECKS),
    options: RunOptions | None = None,
    tolerance: UserTolerance | None = None,
    original: OriginalModel | None = None,
    progress: Progress = lambda step: None,
    record: Record = record_nothing,
    time_limit: float | None = TIME_LIMIT,
    given: GivenSizes | None = None,
    required: Sequence[str] = (),
) -> Report:
    """Compare runtimes with the golden vectors of `bundle`, or with `cases`.

    runtimes: the runtimes to check; by default all that are available. checks: names of checks.
    tolerance: replaces the derived budgets. original: the Keras model, to localise and explain
    faults. record: called with every comparison and its tensors. time_limit: seconds for one call
    of a runtime; each runtime runs in its own process, except those with `in_process`. None runs
    all runtimes in this process, which they can crash or disturb. given: additional shapes and
    inputs of your own. required: runtimes that must be verified; otherwise a check fails.

    Raises RuntimeUnavailableError for a runtime in `runtimes` that is not available, InputError
    for an unknown check or tensor. A report without comparisons has not passed.
    """
    all_options = VerificationOptions(
        checks, cases, tolerance or UserTolerance(), options or RunOptions(), original,
        _locked(record), given or GivenSizes(),
    )  # fmt: skip
    request = request_for(bundle, all_options)
    chosen, skipped = (runtimes, []) if runtimes is not None else runtimes_for(bundle)
    with ExitStack() as stack:
        if time_limit is not None:
            chosen = stack.enter_context(staying(chosen, time_limit))
        results = _results(bundle, chosen, request, progress)
    # If the caller names runtimes, only their files are compared.
    formats = None if runtimes is None else {runtime.format for runtime in runtimes}
    failed = (
        *_changed_weights(bundle, original, formats, failed=_any_failed(results)),
        *_missing(required, chosen, skipped),
    )
    report = report_of(bundle, chosen, request, [*failed, *results])
    return replace(report, skipped=tuple(skipped))


def _missing(
    required: Sequence[str], chosen: Sequence[Runtime], skipped: Sequence[SkippedRuntime]
) -> list[FailedCheck]:
    """Return a failed check for each required runtime that is not verified."""
    reasons = {each.runtime: each.reason for each in skipped}
    here = {runtime.name for runtime in chosen}
    return [
        FailedCheck(name, REQUIRED, "--require", f"it is required, but was not verified: {why}")
        for name in required
        if name not in here
        for why in (reasons.get(name, "it was not chosen"),)
    ]


def _any_failed(results: Sequence[Result]) -> bool:
    return any(not c.passed for c in only(Comparison, results))


def _changed_weights(
    bundle: Bundle,
    original: OriginalModel | None,
    formats: Collection[str] | None,
    *,
    failed: bool,
) -> tuple[FailedCheck, ...]:
    """Return a failed check for each file whose weights differ from those of the export.

    failed: whether a comparison failed; if so, compare all weights with the Keras model's.
    """
    every = failed and original is not None

    def explain(name: str, values: Array) -> str:
        return "" if original is None else relation(name, values, original.weights())

    return tuple(
        FailedCheck(WEIGHTS, WEIGHTS, changed.file, changed.message, (changed.file,))
        for changed in changed_weights(bundle, explain, formats, every=every)
    )


def _results(
    bundle: Bundle, runtimes: Sequence[Runtime], request: VerificationRequest, progress: Progress
) -> list[Result]:
    """Run the checks on every runtime; the results are in the order of the runtimes."""
    with ExitStack() as stack:
        verifications = [
            RuntimeVerification(
                bundle, runtime, request.for_quantised(quantisation_on(bundle, runtime)), stack
            )
            for runtime in runtimes
        ]

        def check(verification: RuntimeVerification) -> None:
            progress(f"verifying on {verification.runtime.name}")
            try:
                verification.load()
            except RuntimeUnavailableError as error:
                if len(verifications) == 1:
                    raise
                verification.fail_to_load(error)
            verification.check()

        isolated = [v for v in verifications if isinstance(v.runtime, IsolatedRuntime)]
        for verification in verifications:
            if verification not in isolated:
                check(verification)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(check, isolated))
        for index, verification in enumerate(verifications):
            verification.hand_over(_partner(bundle, verifications, index))
        for verification in verifications:
            verification.localise()
        return [
            result
            for verification in verifications
            for result in (*verification.results, *verification.coverage())
        ]


def _locked(record: Record) -> Record:
    """Return a `record` that several threads may call."""
    lock = Lock()

    def locked(observation: Observation) -> None:
        with lock:
            record(observation)

    return locked


def _partner(
    bundle: Bundle, verifications: Sequence[RuntimeVerification], index: int
) -> RuntimeVerification:
    """Return the next runtime with the same numbers: both float32, or both equally quantised."""
    others = [*verifications[index + 1 :], *verifications[: index + 1]]
    own = quantisation_on(bundle, verifications[index].runtime)
    return next(other for other in others if quantisation_on(bundle, other.runtime) == own)
