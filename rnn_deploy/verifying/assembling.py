"""Assemble the report of a verification from the results of its runtimes."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rnn_deploy.bundle import Bundle, GoldenCase
from rnn_deploy.runtimes.base import Runtime
from rnn_deploy.runtimes.registry import possible_runtimes
from rnn_deploy.spec import SEQUENCE, STREAM
from rnn_deploy.verifying.diagnose.finding import Finding
from rnn_deploy.verifying.judge.checks import CHECKS
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.judge.given import WITHOUT_MODEL
from rnn_deploy.verifying.judge.quantisation import quantisation_note, quantisation_on
from rnn_deploy.verifying.report.coverage import RuntimeCoverage
from rnn_deploy.verifying.report.environment import environment
from rnn_deploy.verifying.report.notes import notes_of, tolerance_notes
from rnn_deploy.verifying.report.report import (
    CheckTiming,
    FailedCheck,
    NodeDevice,
    Report,
    UnknownPlacement,
)
from rnn_deploy.verifying.request import VerificationRequest
from rnn_deploy.verifying.runtime_verification import Result

T = TypeVar("T")


def report_of(
    bundle: Bundle,
    runtimes: Sequence[Runtime],
    request: VerificationRequest,
    results: Sequence[Result],
) -> Report:
    """Return the report of results, without the runtimes that were skipped."""
    comparisons, checks = only(Comparison, results), request.options.checks
    return Report(
        reference=_reference_of(bundle, request.options.cases),
        bundle=str(bundle.root),
        digest=bundle.digest,
        environment=environment(runtimes),
        comparisons=comparisons,
        failed_checks=only(FailedCheck, results),
        skipped=(),
        notes=_notes(bundle, runtimes, request, comparisons),
        findings=only(Finding, results),
        node_devices=only(NodeDevice, results),
        tolerance=request.budgets.user.description,
        reference_distances=request.distances,
        timings=only(CheckTiming, results),
        unknown_placements=only(UnknownPlacement, results),
        expected_tensors=_expected_tensors(bundle, checks),
        runtimes=tuple(runtime.name for runtime in runtimes),
        coverage=only(RuntimeCoverage, results),
        possible_runtimes=possible_runtimes(bundle),
        shared_weights=_shared_weights(bundle),
        not_streamed=_not_streamed(bundle),
        checks_not_run=tuple(check for check in CHECKS if check not in checks),
    )


def _notes(
    bundle: Bundle,
    runtimes: Sequence[Runtime],
    request: VerificationRequest,
    comparisons: Sequence[Comparison],
) -> tuple[str, ...]:
    options = request.options
    quantised = [r.name for r in runtimes if quantisation_on(bundle, r) is not None]
    return (
        *notes_of(request.read(), comparisons, options.checks, request.distances, quantised),
        *tolerance_notes(comparisons, options.tolerance),
        *_wide_notes(request, comparisons, quantised),
        *_quantisation_notes(bundle, runtimes, options.checks),
        *([WITHOUT_MODEL] if options.given and options.original is None else []),
    )


def _wide_notes(
    request: VerificationRequest, comparisons: Sequence[Comparison], quantised: Sequence[str]
) -> list[str]:
    """Return a note for each budget that accepts anything."""
    wide = {
        (c.runtime, c.name): f"the budget of '{c.name}' on {c.runtime}, {c.budget:.1e}, is not"
        " meaningful: a constant would be within it, because quantisation changed the values so"
        " much; calibrate with other data, or choose another --quantize"
        for c in comparisons
        if c.runtime in quantised and not c.decisive
    }
    tolerance, budgets = request.options.tolerance, request.budgets
    for name in dict.fromkeys(c.name for c in comparisons):
        limits = tolerance.for_tensor(name)
        if limits is not None and budgets.accepts_anything(name, limits[0]):
            wide["", name] = (
                f"the tolerance of '{name}', {limits[0]:.1e}, is not meaningful: its values span"
                f" {budgets.spans[name]:.1e}, so a constant would be within it"
            )
    return list(wide.values())


def _shared_weights(bundle: Bundle) -> dict[str, tuple[str, ...]]:
    users: dict[str, dict[str, None]] = {}
    for artifact in bundle.manifest.artifacts:
        if artifact.weights is not None:
            users.setdefault(artifact.weights, {})[artifact.path] = None
    return {weights: tuple(files) for weights, files in users.items()}


def _not_streamed(bundle: Bundle) -> str:
    return next(
        (
            f"do not stream this model: {entry.chunked.reason}; call it with whole sequences"
            for entry in bundle.manifest.entries
            if entry.name == STREAM and not entry.chunked.ok
        ),
        "",
    )


def _expected_tensors(bundle: Bundle, checks: Sequence[str]) -> tuple[str, ...]:
    """Return the tensors that the plain checks must compare: every model has cases for them."""
    entries = {entry.name: entry for entry in bundle.manifest.entries}
    names = (n for c, n in (("sequence", SEQUENCE), ("states", STREAM)) if c in checks)
    checked = (entries[name] for name in names if name in entries)
    return tuple(dict.fromkeys(t.name for entry in checked for t in entry.all_outputs))


def _quantisation_notes(
    bundle: Bundle, runtimes: Sequence[Runtime], checks: Sequence[str]
) -> list[str]:
    pairs = ((runtime, quantisation_on(bundle, runtime)) for runtime in runtimes)
    return [quantisation_note(runtime, how, checks) for runtime, how in pairs if how is not None]


def _reference_of(bundle: Bundle, cases: Sequence[GoldenCase] | None) -> str:
    how = "golden vectors of the bundle" if cases is None else "recomputed"
    tensorflow = bundle.manifest.tools.get("tensorflow", "?")
    return f"the Keras model under TensorFlow {tensorflow}, in float64 where that is known; {how}"


def only(kind: type[T], results: Iterable[Result]) -> tuple[T, ...]:
    """Return the results of one kind."""
    return tuple(result for result in results if isinstance(result, kind))
