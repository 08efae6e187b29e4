"""Verify a bundle in your own test suite.

from rnn_deploy.testing import assert_same

def test_the_export_is_the_model():
    assert_same("build/hello", runtimes=["ort-cpu", "litert"])
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rnn_deploy.bundle import Bundle, open_bundle, read_cases
from rnn_deploy.errors import RnnDeployError
from rnn_deploy.runtimes.base import RunOptions, Runtime
from rnn_deploy.runtimes.isolation import TIME_LIMIT
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.spec import SEQUENCE
from rnn_deploy.spec.opening import Opening
from rnn_deploy.verifying import Report, verify
from rnn_deploy.verifying.judge.checks import CHECKS
from rnn_deploy.verifying.judge.tolerance import ALL, UserTolerance
from rnn_deploy.verifying.report.text import failure_text

SAME = 1e-4  # of the largest value; other threads or versions of TensorFlow change less
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
    model: str | Path | None = None,
    trust_source: bool = False,
) -> Report:
    """Assert that the outputs and states of runtimes agree with a bundle's golden vectors.

    runtimes: names, or runtimes of your own; by default all that are available. checks: names; by
    default all. atol, rtol: absolute and relative tolerances that replace the derived budget, for
    all tensors or by name. threads: within an operator. time_limit: seconds for one call of a
    runtime in its own process, so that a crash or a hang is a failed test; None runs all runtimes
    in this process. model: the Keras model, which must still have the weights and outputs of the
    bundle; this needs TensorFlow. trust_source: allow code in the model's file.

    Returns the report. Raises AssertionError with the first wrong place of each runtime, InputError
    for an unknown runtime, check or tensor, BundleError for a damaged bundle, and
    RuntimeUnavailableError for a runtime in `runtimes` that is not available.
    """
    __tracebackhide__ = True  # pytest shows the caller's line, not ours
    try:
        opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
        if model is not None:
            _assert_made_from(opened, Path(model), trust_source=trust_source)
        report = _report(
            opened, runtimes, checks, UserTolerance(_by_name(atol), _by_name(rtol)),
            RunOptions(threads=threads), time_limit,
        )  # fmt: skip
    except (AssertionError, RnnDeployError) as error:
        raise error.with_traceback(None) from None
    if not report.passed:
        raise AssertionError(failure_text(report))
    return report


def _report(
    opened: Bundle,
    runtimes: Sequence[str | Runtime] | None,
    checks: Sequence[str] | None,
    tolerance: UserTolerance,
    options: RunOptions,
    time_limit: float | None,
) -> Report:
    chosen = None
    if runtimes is not None:
        chosen = [runtime_named(r) if isinstance(r, str) else r for r in runtimes]
    return verify(
        opened,
        runtimes=chosen,
        checks=tuple(CHECKS) if checks is None else checks,
        options=options,
        tolerance=tolerance,
        time_limit=time_limit,
    )


def _assert_made_from(bundle: Bundle, place: Path, *, trust_source: bool) -> None:
    """Raise AssertionError unless the model has the bundle's weights and outputs."""
    from rnn_deploy.cli.keras_model import keras_outputs

    differences: list[str] = []
    entry = bundle.manifest.entry(SEQUENCE)
    names = {tensor.name for tensor in entry.inputs}
    cases = read_cases(bundle.checked(bundle.manifest.golden))
    case = next((c for c in cases if SEQUENCE in c.entries and not c.check), None)
    if case is not None:
        feeds = {name: value for name, value in case.feeds.items() if name in names}
        found = keras_outputs(
            bundle, place, feeds, opening=Opening(trust_source), note=differences.append
        )
        for tensor in entry.outputs:
            wanted = case.reference[tensor.name]
            near = SAME * max(1.0, float(np.max(np.abs(wanted), initial=0.0)))
            if not np.allclose(found[tensor.name], wanted, rtol=0, atol=near, equal_nan=True):
                differences.append(f"output '{tensor.name}' of {place} differs in case {case.name}")
    if differences:
        raise AssertionError(
            f"{bundle.root} was not made from {place}: {differences[0]}; export the model again:"
            f" rnn-deploy export {place} -o {bundle.root} --force"
        )


def _by_name(tolerances: Tolerances) -> Mapping[str, float]:
    if tolerances is None:
        return {}
    return tolerances if isinstance(tolerances, Mapping) else {ALL: tolerances}
