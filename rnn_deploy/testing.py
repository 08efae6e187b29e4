"""The proof inside your own test suite.

from rnn_deploy.testing import assert_same

def test_the_export_is_the_model():
    assert_same("build/hello", runtimes=["ort-cpu", "litert"])
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rnn_deploy.bundle import Bundle, open_bundle
from rnn_deploy.runtimes.base import RunOptions, Runtime
from rnn_deploy.runtimes.isolation import LIMIT
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.verifying import Report, verify
from rnn_deploy.verifying.judge.checks import CHECKS
from rnn_deploy.verifying.judge.tolerance import ALL, UserTolerance
from rnn_deploy.verifying.report.words import failure_of

Tolerances = float | Mapping[str, float] | None


def assert_same(
    bundle: str | Path | Bundle,
    *,
    runtimes: Sequence[str | Runtime] | None = None,
    checks: Sequence[str] | None = None,
    atol: Tolerances = None,
    rtol: Tolerances = None,
    threads: int | None = None,
    time_limit: float | None = LIMIT,
) -> Report:
    """Assert that runtimes give what a bundle's golden vectors say, outputs and states.

    runtimes: names, or runtimes of your own; by default all that are here. checks: names; by
    default all. atol, rtol: in place of the derived budget, for all tensors or by name. threads:
    within an operator. time_limit: seconds for one call in a process of its own, so that an abort
    or a hang is a failed test; None runs in this process.

    Returns the report. AssertionError with the first place where a runtime differs; InputError for
    an unknown runtime, check or tensor, BundleError for a damaged bundle,
    RuntimeUnavailableError for a runtime that is named and not here.
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
        asked=UserTolerance(_by_name(atol), _by_name(rtol)),
        limit=time_limit,
    )
    if not report.passed:
        raise AssertionError(failure_of(report))
    return report


def _by_name(given: Tolerances) -> Mapping[str, float]:
    if given is None:
        return {}
    return given if isinstance(given, Mapping) else {ALL: given}
