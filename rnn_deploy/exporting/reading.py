"""A model that was read for export: its plan, its golden cases, and their references.

    Keras model --ModelReader--> ReadModel     once for all exports with the same reading options

Tracing the references takes most of the time of a small model's export, so one ModelReader serves
all exports of a model.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.bundle.manifest import ModelSource
from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.exporting.cases import (
    calibration_of,
    check_untouched_by,
    checked_samples,
    evaluation_of,
    proof_of_plan,
    reference_cases,
    references_of,
    special_of,
)
from rnn_deploy.exporting.halves import with_proven_halves
from rnn_deploy.exporting.plan import (
    plan_of,
    with_chunks,
    with_rows,
    without_unchunked_stream,
)
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.formats.read_model import ExportPlan, ReadModel
from rnn_deploy.keras.opening import weights_digest
from rnn_deploy.references.golden import References, chunks_match
from rnn_deploy.references.rows import ROUNDED, SAME, rows_match
from rnn_deploy.spec import EntryPoint

# Codes of the errors that mean: the model has no float64 form.
NO_ORACLE = ("E-MODEL-NO-FLOAT64", "E-MODEL-FLOAT32-ONLY")
Progress = Callable[[str], None]


class ModelReader:
    """Reads one model, for one export or for several, between which it must not change."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._read: dict[tuple[object, ...], ReadModel] = {}
        self._without_oracle = False  # TensorFlow cannot compute the model in float64
        self._references: dict[tuple[EntryPoint, str, str], References] = {}

    def read(
        self, options: ExportOptions, progress: Progress, source: ModelSource | None = None
    ) -> ReadModel:
        """Read the model as `options` request; formats and lowerings do not matter.

        source: the origin of the model, by default a live model.
        """
        name = self.model.name
        source = source or ModelSource("live model", name, weights_digest(self.model))
        if any(
            data is not None for data in (options.samples, options.calibration, options.evaluate)
        ):
            return self._read_anew(options, progress, source)
        sizes = (options.time, options.batch, options.seed, options.long)
        key = (source, *sizes, options.state, options.dropout, options.constraints)
        if key not in self._read:
            self._read[key] = self._read_anew(options, progress, source)
        return self._read[key]

    def _read_anew(
        self, options: ExportOptions, progress: Progress, source: ModelSource
    ) -> ReadModel:
        progress("reading the layers")
        plan = plan_of(self.model, options)
        progress("taking golden vectors from TensorFlow")
        try:
            return self._read_planned(plan, options, progress, source)
        except UnsupportedModelError as error:
            if error.code not in NO_ORACLE or self._without_oracle:
                raise
            reason = error.message
        self._without_oracle = True
        note = (
            "this bundle is judged by TensorFlow in float32 alone, without a float64 oracle, since"
            f" {reason}"
        )
        plan = replace(plan, notes=(*plan.notes, note))
        self._references.clear()
        return self._read_planned(plan, options, progress, source)

    def _read_planned(
        self, plan: ExportPlan, options: ExportOptions, progress: Progress, source: ModelSource
    ) -> ReadModel:
        calibration = calibration_of(self._references_of(plan, options), plan, options)
        plan, cases, references = self._runnable(plan, options, calibration)
        if options.dropout == "keep":  # without its dropout, the function is another one
            check_untouched_by(plan, references, cases)
        truth, near = references.oracle or references.reference, ROUNDED
        if references.oracle is not None:
            near = SAME
        if plan.stream:
            plan = with_chunks(plan, chunks_match(truth, plan.stream.entry, cases, near))
        plan = with_rows(plan, lambda entry: rows_match(truth.run, entry, cases))
        if options.constraints.single_steps and plan.stream and not plan.stream.entry.chunked.ok:
            plan = without_unchunked_stream(plan)
            references = self._references_of(plan, options)
            cases = reference_cases(references, plan, options, calibration)
        samples = checked_samples(options, plan.sequence.entry)
        known = references.oracle is not None
        plan, split_cases = with_proven_halves(plan, samples, options.seed, oracle=known)
        progress("comparing the references with each other")
        proof = proof_of_plan(plan, references, cases)
        special = special_of(plan, references, cases, options)
        plan = replace(plan, notes=(*plan.notes, *map(str, special.left_out)))
        cases += [*special.cases, *split_cases]
        evaluation = evaluation_of(references, plan, options)
        return ReadModel(source, plan, cases, references, proof, calibration, evaluation)

    def _runnable(
        self, plan: ExportPlan, options: ExportOptions, calibration: Sequence[GoldenCase]
    ) -> tuple[ExportPlan, list[GoldenCase], References]:
        """Return the plan with its cases; without a stream if the model rejects its lengths."""
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
        """Return the references of the widest entry point, traced once for it."""
        key = ((plan.stream or plan.sequence).entry, options.state, options.dropout)
        if key not in self._references:
            references = references_of(self.model, plan)
            if self._without_oracle:
                references = replace(references, oracle=None)
            self._references[key] = references
        return self._references[key]
