"""One case in one form on the runtimes: exported, verified, judged.

    Case, form  --made-->  Bundle  --judged-->  an Outcome for each runtime, and for the cells

Forms: `auto`, and the portable ones, which no recurrent operator helps. Beside the verification's
own budget stands the absolute bound that the project promises at these sizes. `judged` needs
neither TensorFlow nor onnx.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_deploy.bundle import Bundle
from rnn_deploy.bundle.proof import AGREE, ReferenceDistances, proof_of
from rnn_deploy.conformance.gaps import gap_of
from rnn_deploy.errors import RnnDeployError
from rnn_deploy.runtimes.base import Runtime, why_wrong
from rnn_deploy.verifying import verify
from rnn_deploy.verifying.judge.checks import BASIC
from rnn_deploy.verifying.report.report import Report

if TYPE_CHECKING:
    from rnn_deploy.conformance.cases import ConformanceCase
    from rnn_deploy.exporting.reading import ModelReader

FORMS = ("auto", "scan", "unrolled")
NUMPY = "numpy"  # the cells of `rnn_deploy.numerics.cells`, layer by layer
PROMISED = 2e-6  # absolute error against the oracle, at up to 100 steps and 128 units
SEED = 3  # of the random weights
STEPS = 4  # of the sequence entry point, where steps are written out


@dataclass(frozen=True)
class CaseOutcome:
    """What became of one case in one form on one runtime.

    fault: what is wrong, empty if nothing; gap: why that is known. worst: the largest absolute
    error. compared: how many tensors were.
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
        """It works, or it is known not to."""
        return bool(self.fault) == bool(self.gap)

    @property
    def said(self) -> str:
        """In a few words."""
        if self.gap:
            return "gap" if self.fault else "WORKS, though a gap is written down"
        return self.fault or "ok"


class CaseExporter:
    """Exports cases; one whose forms come one after the other is built and read but once."""

    def __init__(self) -> None:
        self._last: tuple[str, ModelReader] | None = None

    def made(self, case: "ConformanceCase", form: str, place: Path) -> Bundle:
        """Export a case; TFLite with `auto` alone, since the other forms are ONNX's."""
        from rnn_deploy.exporting.reading import ModelReader

        if self._last is None or self._last[0] != case.name:
            self._last = case.name, ModelReader(with_random_weights(case.build(), SEED, case.scale))
        return _made(case, form, place, self._last[1])


def _made(case: "ConformanceCase", form: str, place: Path, reader: "ModelReader") -> Bundle:
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
        warnings.simplefilter("ignore")  # Keras, on a softmax over a single step
        options = ExportOptions(to, lowering=form, time=time, profile=profile, long=0)
        return export(reader.model, place, options, reader=reader)


def judged(
    bundle: Bundle,
    case: str,
    form: str,
    runtimes: Iterable[Runtime],
    promised: float = PROMISED,
) -> list[CaseOutcome]:
    """Verify a bundle on every runtime that has an artifact in it; the cells in NumPy vote too."""
    formats = {artifact.format for artifact in bundle.manifest.artifacts}
    outcomes = [_on(bundle, case, form, r, promised) for r in runtimes if r.format in formats]
    votes = proof_of(bundle).votes
    return [*outcomes, _by_cells(votes, case, form)] if votes else outcomes


def with_random_weights(model: Any, seed: int, scale: float) -> Any:
    """Give every weight random values, so that a swapped or forgotten one shows."""
    rng = np.random.default_rng(seed)
    weights = [scale * rng.standard_normal(w.shape) for w in model.get_weights()]
    model.set_weights(
        [value.astype(w.dtype) for value, w in zip(weights, model.get_weights(), strict=True)]
    )
    return model


def _on(bundle: Bundle, case: str, form: str, runtime: Runtime, promised: float) -> CaseOutcome:
    gap = gap_of(case, form, runtime.name)
    worst, compared = 0.0, 0
    fault = why_wrong(bundle, runtime) or ""
    if not fault:
        try:
            report = verify(bundle, runtimes=[runtime], checks=BASIC)
        except RnnDeployError as error:
            fault = str(error)
        else:
            worst = max((c.max_abs for c in report.comparisons), default=0.0)
            compared = len(report.comparisons)
            fault = _fault_of(bundle, report, worst, promised)
    reason = "" if gap is None else gap.reason
    return CaseOutcome(case, form, runtime.name, fault, reason, worst, compared)


def _by_cells(votes: Sequence[ReferenceDistances], case: str, form: str) -> CaseOutcome:
    """What the recurrences in NumPy make of layers with Keras' own cells: outputs, states."""
    apart = [vote for vote in votes if not vote.cells <= AGREE * vote.scale]
    fault = ", ".join(f"layer '{v.layer}': NumPy to oracle {v.cells:.1e}" for v in apart)
    return CaseOutcome(case, form, NUMPY, fault, "", max(v.cells for v in votes), len(votes))


def _fault_of(bundle: Bundle, report: Report, worst: float, promised: float) -> str:
    if not report.passed:
        return report.verdict
    if worst > promised:
        return f"an error of {worst:.1e}, more than the {promised:.0e} promised"
    seen = {(c.check, c.name) for c in report.comparisons}
    missing = [key for key in _wanted(bundle) if key not in seen]
    return f"not compared: {missing}" if missing else ""


def _wanted(bundle: Bundle) -> Iterable[tuple[str, str]]:
    """Every output and state of every entry point, by the checks that must see it."""
    for entry in bundle.manifest.entries:
        checks = ["sequence" if entry.name == "sequence" else "states"]
        if entry.states and entry.chunked.ok:
            checks.append("chunked")
        yield from ((check, tensor.name) for check in checks for tensor in entry.all_outputs)
