"""Verify a bundle in your own test suite.

from rnn_deploy.testing import assert_same

def test_the_export_is_the_model():
    assert_same("build/hello", runtimes=["ort-cpu", "litert"])
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rnn_deploy.bundle import Bundle, open_bundle
from rnn_deploy.runtimes.base import RunOptions, Runtime
from rnn_deploy.runtimes.isolation import TIME_LIMIT
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.verifying import Report, verify
from rnn_deploy.verifying.judge.checks import CHECKS
from rnn_deploy.verifying.judge.tolerance import ALL, UserTolerance
from rnn_deploy.verifying.report.text import failure_text

Tolerances = float | Mapping[str, float] | None


def assert_same(
    bundle: str | Path | Bundle,
    *,
    runtimes: Sequence[str | Runtime] | None = None,
    checks: Sequence[str] | None = None,
    atol: Tolerances = None,
    rtol: Tolerances = None,
    threads: int | None = None,
    time_limit: float | None = TIME_LIMIT,
) -> Report:
    """Assert that the outputs and states of runtimes agree with a bundle's golden vectors.

    runtimes: names, or runtimes of your own; by default all that are available. checks: names; by
    default all. atol, rtol: absolute and relative tolerances that replace the derived budget, for
    all tensors or by name. threads: within an operator. time_limit: seconds for one call of a
    runtime in a process of its own, so that an abort or a hang is a failed test; None runs all in
    this process.

    Returns the report. Raises AssertionError with the first wrong place of each runtime, InputError
    for an unknown runtime, check or tensor, BundleError for a damaged bundle, and
    RuntimeUnavailableError for a runtime in `runtimes` that is not available.
    """
    __tracebackhide__ = True  # pytest shows the caller's line, not ours
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    chosen = None
    if runtimes is not None:
        chosen = [runtime_named(r) if isinstance(r, str) else r for r in runtimes]
    report = verify(
        opened,
        runtimes=chosen,
        checks=tuple(CHECKS) if checks is None else checks,
        options=RunOptions(threads=threads),
        tolerance=UserTolerance(_by_name(atol), _by_name(rtol)),
        time_limit=time_limit,
    )
    if not report.passed:
        raise AssertionError(failure_text(report))
    return report


def _by_name(tolerances: Tolerances) -> Mapping[str, float]:
    if tolerances is None:
        return {}
    return tolerances if isinstance(tolerances, Mapping) else {ALL: tolerances}
