"""Export one case in one form, verify it on the runtimes, judge the outcome.

    case, form --CaseExporter--> Bundle --judged--> a CaseOutcome for each runtime and the cells

Forms: `auto`, and the portable ones without recurrent operators. Besides the verification's
budgets, there is an absolute bound on errors. `judged` needs neither TensorFlow nor onnx.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_deploy.bundle import Bundle, cases_of
from rnn_deploy.bundle.proof import AGREE, ReferenceDistances, proof_of
from rnn_deploy.conformance.gaps import gap_of
from rnn_deploy.errors import RnnDeployError
from rnn_deploy.runtimes.base import Runtime, why_wrong
from rnn_deploy.spec import DECODE, ENCODE, SEQUENCE, STREAM
from rnn_deploy.verifying import verify
from rnn_deploy.verifying.judge.checks import BASIC
from rnn_deploy.verifying.report.report import Report

if TYPE_CHECKING:
    from rnn_deploy.conformance.cases import ConformanceCase
    from rnn_deploy.exporting.reading import ModelReader

FORMS = ("auto", "scan", "unrolled")
NUMPY = "numpy"  # the cells of `rnn_deploy.numerics.cells`, layer by layer
MOST_ERROR = 2e-6  # absolute, against the oracle, at up to 100 steps and 128 units
SEED = 3  # of the random weights
STEPS = 4  # of the sequence entry point, if it is unrolled


@dataclass(frozen=True)
class CaseOutcome:
    """The outcome of one case in one form on one runtime.

    fault: what is wrong, empty if nothing. gap: the reason, if it is a known gap. worst: the
    largest absolute error. compared: the number of tensors compared.
    """

    case: str
    form: str
    runtime: str
    fault: str
    gap: str
    worst: float
    compared: int

    @property
    def as_expected(self) -> bool:
        """Return whether it works, or is a known gap."""
        return bool(self.fault) == bool(self.gap)

    @property
    def summary(self) -> str:
        """Return the outcome in a few words."""
        if self.gap:
            return "gap" if self.fault else "WORKS, although it is a known gap"
        return self.fault or "ok"


class CaseExporter:
    """Exports cases; consecutive forms of one case share the model and its reading."""

    def __init__(self) -> None:
        self._last: tuple[str, ModelReader] | None = None

    def export(self, case: "ConformanceCase", form: str, place: Path) -> Bundle:
        """Export a case; in TFLite only as `auto`, since the other forms are for ONNX."""
        from rnn_deploy.exporting.reading import ModelReader

        if self._last is None or self._last[0] != case.name:
            self._last = case.name, ModelReader(with_random_weights(case.build(), SEED, case.scale))
        return _export(case, form, place, self._last[1])


def _export(case: "ConformanceCase", form: str, place: Path, reader: "ModelReader") -> Bundle:
    from rnn_deploy.exporting.pipeline import export
    from rnn_deploy.formats.options import ExportOptions
    from rnn_deploy.keras.signature import signature_of

    to = case.formats if form == "auto" else ("onnx",)
    shapes = [tensor.shape for tensor in signature_of(reader.model).inputs]
    open_length = any(isinstance(dim, str) for shape in shapes for dim in shape[1:2])
    time = STEPS if form == "unrolled" and open_length else None
    # A float64 model has no portable form.
    profile = "portable" if form != "auto" and case.formats != ("onnx",) else "ort"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns about a softmax over a single step
        options = ExportOptions(to, lowering=form, time=time, profile=profile, long=0)
        return export(reader.model, place, options, reader=reader)


def judged(
    bundle: Bundle,
    case: str,
    form: str,
    runtimes: Iterable[Runtime],
    most_error: float = MOST_ERROR,
) -> list[CaseOutcome]:
    """Verify a bundle on every runtime that has a file in it, and on the cells in NumPy.

    All runtimes are verified together, from golden vectors that are read once. If a runtime cannot
    load a file, its checks fail and the others are judged.
    """
    formats = {artifact.format for artifact in bundle.manifest.artifacts}
    fitting = [runtime for runtime in runtimes if runtime.format in formats]
    faults = {runtime.name: why_wrong(bundle, runtime) or "" for runtime in fitting}
    able = [runtime for runtime in fitting if not faults[runtime.name]]
    golden = list(cases_of(bundle, special=True))
    reports: dict[str, Report] = {}
    try:
        whole = verify(bundle, runtimes=able, cases=golden, checks=BASIC)
        reports = {runtime.name: _part_of(whole, runtime.name) for runtime in able}
    except RnnDeployError as error:
        faults |= {runtime.name: str(error) for runtime in able}
    outcomes = [
        _outcome(bundle, (case, form, r.name), faults[r.name], reports.get(r.name), most_error)
        for r in fitting
    ]
    votes = proof_of(bundle).votes
    return [*outcomes, _by_cells(votes, case, form)] if votes else outcomes


def with_random_weights(model: Any, seed: int, scale: float) -> Any:
    """Give every weight random values, so that a swapped or missing one is found."""
    rng = np.random.default_rng(seed)
    weights = [scale * rng.standard_normal(w.shape) for w in model.get_weights()]
    model.set_weights(
        [value.astype(w.dtype) for value, w in zip(weights, model.get_weights(), strict=True)]
    )
    return model


def _part_of(report: Report, runtime: str) -> Report:
    """Return the part of a report about one of its runtimes."""
    parts: dict[str, Any] = {}
    for field in fields(report):
        value = getattr(report, field.name)
        if isinstance(value, tuple):
            parts[field.name] = tuple(v for v in value if getattr(v, "runtime", runtime) == runtime)
    return replace(report, **parts | {"runtimes": (runtime,)})


def _outcome(
    bundle: Bundle, of: tuple[str, str, str], fault: str, report: Report | None, most_error: float
) -> CaseOutcome:
    """Judge (case, form, runtime): by the fault if there is one, otherwise by the report."""
    gap = gap_of(*of)
    worst, compared = 0.0, 0
    if report is not None:
        worst = max((c.max_abs for c in report.comparisons), default=0.0)
        compared = len(report.comparisons)
        fault = _fault_of(bundle, report, worst, most_error)
    return CaseOutcome(*of, fault, "" if gap is None else gap.reason, worst, compared)


def _by_cells(votes: Sequence[ReferenceDistances], case: str, form: str) -> CaseOutcome:
    """Judge the outputs and states of the cells in NumPy, for layers with Keras' cells."""
    apart = [vote for vote in votes if not vote.cells <= AGREE * vote.scale]
    fault = ", ".join(f"layer '{v.layer}': NumPy to oracle {v.cells:.1e}" for v in apart)
    return CaseOutcome(case, form, NUMPY, fault, "", max(v.cells for v in votes), len(votes))


def _fault_of(bundle: Bundle, report: Report, worst: float, most_error: float) -> str:
    if report.failed_checks:
        return f"{report.verdict}: {report.failed_checks[0].message}"
    if not report.passed:
        return report.verdict
    if worst > most_error:
        return f"an error of {worst:.1e}, expected at most {most_error:.0e}"
    seen = {(c.check, c.name) for c in report.comparisons}
    missing = [key for key in _expected_comparisons(bundle) if key not in seen]
    return f"not compared: {missing}" if missing else ""


_PLAIN_CHECKS = {
    SEQUENCE: "sequence",
    STREAM: "states",
    ENCODE: "encode-decode",
    DECODE: "encode-decode",
}


def _expected_comparisons(bundle: Bundle) -> Iterable[tuple[str, str]]:
    """Yield every output and state of every entry point with the checks that must compare it."""
    for entry in bundle.manifest.entries:
        checks = [_PLAIN_CHECKS[entry.name]]
        if entry.name == STREAM and entry.chunked.ok:
            checks.append("chunked")
        yield from ((check, tensor.name) for check in checks for tensor in entry.all_outputs)
