"""A model read for export: its plan, its golden cases, and the references that made them.

    Keras model --Reader--> Read     once for all exports of the model that ask the same of it

To trace the references is most of an export of a small model. A model that is exported in several
forms is read by one Reader.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import onnx_ir as ir

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.bundle.proof import Proof
from rnn_deploy.errors import InputError
from rnn_deploy.exporting.cases import (
    calibration_of,
    check_untouched_by,
    proof_of_plan,
    reference_cases,
    references_of,
    special_of,
)
from rnn_deploy.exporting.options import ExportOptions
from rnn_deploy.exporting.plan import ExportPlan, plan_of, with_chunks, with_rows
from rnn_deploy.references.golden import References, chunks_match
from rnn_deploy.references.rows import rows_match
from rnn_deploy.spec import EntryPoint
from rnn_deploy.tflite.micro.files import without_unchunked_stream

Progress = Callable[[str], None]


@dataclass(frozen=True)
class ReadModel:
    """What is known of a model before a format is written.

    converted: its traces as ONNX with markers, by `id`, filled by who writes ONNX.
    """

    plan: ExportPlan
    cases: Sequence[GoldenCase]
    references: References
    proof: Proof
    calibration: Sequence[GoldenCase]
    converted: dict[int, ir.Model] = field(default_factory=dict)


class ModelReader:
    """Reads one model, for one export or for several, between which it must not change."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._read: dict[tuple[object, ...], ReadModel] = {}
        self._references: dict[tuple[EntryPoint, str], References] = {}

    def read(self, options: ExportOptions, progress: Progress) -> ReadModel:
        """The model as `options` want it; formats and lowerings make no difference."""
        if options.samples is not None or options.calibration is not None:
            return self._anew(options, progress)
        asked = (options.time, options.state, options.seed, options.long, options.micro)
        if asked not in self._read:
            self._read[asked] = self._anew(options, progress)
        return self._read[asked]

    def _anew(self, options: ExportOptions, progress: Progress) -> ReadModel:
        progress("reading the layers")
        plan = plan_of(self.model, options)
        progress("taking golden vectors from TensorFlow")
        calibration = calibration_of(self._references_of(plan, options), plan, options)
        plan, cases, references = self._runnable(plan, options, calibration)
        check_untouched_by(plan, references, cases)
        if plan.stream and references.oracle:
            plan = with_chunks(plan, chunks_match(references.oracle, plan.stream.entry, cases))
        truth = (references.oracle or references.reference).run
        plan = with_rows(plan, lambda entry: rows_match(truth, entry, cases))
        plan = without_unchunked_stream(plan) if options.micro else plan
        progress("holding the references against each other")
        proof = proof_of_plan(plan, references, cases)
        cases += special_of(plan, references, cases, options)
        return ReadModel(plan, cases, references, proof, calibration)

    def _runnable(
        self, plan: ExportPlan, options: ExportOptions, calibration: Sequence[GoldenCase]
    ) -> tuple[ExportPlan, list[GoldenCase], References]:
        """The plan with its cases; without a stream whose lengths the model cannot run."""
        references = self._references_of(plan, options)
        try:
            return plan, reference_cases(references, plan, options, calibration), references
        except InputError:
            if not plan.opened:
                raise
        note = "no stream entry point: the model runs with no other number of steps than its own"
        plan = replace(plan, stream=None, notes=(*plan.notes, note), opened=False)
        references = self._references_of(plan, options)
        return plan, reference_cases(references, plan, options, calibration), references

    def _references_of(self, plan: ExportPlan, options: ExportOptions) -> References:
        """The references of the widest entry point, traced once for it."""
        asked = ((plan.stream or plan.sequence).entry, options.state)
        if asked not in self._references:
            self._references[asked] = references_of(self.model, plan)
        return self._references[asked]
