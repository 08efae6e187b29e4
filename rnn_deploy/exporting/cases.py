"""The golden cases of a planned model, from the references that the rest is held against."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.bundle.proof import Proof
from rnn_deploy.exporting.real_inputs import (
    any_number_of,
    calibration_cases,
    checked,
    draws_from,
)
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.formats.read_model import ExportPlan
from rnn_deploy.keras.signature import call_flat
from rnn_deploy.keras.tensorflow import keras
from rnn_deploy.references.golden import References, check_untouched, make_cases
from rnn_deploy.references.golden_special import special_cases
from rnn_deploy.references.proving import proof_of
from rnn_deploy.references.reference import Reference
from rnn_deploy.spec import EntryPoint

LONG = 10_000
LEAST_LONG = 1_000
# Weights to read in all steps together: some seconds of TensorFlow in float32 and float64.
READ = 2_000_000_000


def references_of(model: Any, plan: ExportPlan) -> References:
    """The references of a planned model's widest entry point; each is traced when it first runs."""
    entry = (plan.stream or plan.sequence).entry
    return References(*(Reference(model, entry, dtype) for dtype in ("float32", "float64")))


def reference_cases(
    references: References,
    plan: ExportPlan,
    options: ExportOptions,
    calibration: Sequence[GoldenCase] = (),
) -> list[GoldenCase]:
    """Golden cases of a planned model.

    calibration: real inputs, from whose rows the cases are drawn where there are any.
    """
    stream = plan.stream.entry if plan.stream else None
    samples = checked_samples(options, plan.sequence.entry)
    return make_cases(
        references,
        plan.sequence.entry,
        stream,
        samples,
        options.seed,
        every_length=plan.opened,
        drawn=draws_from(calibration, stream) if calibration else None,
    )


def calibration_of(
    references: References, plan: ExportPlan, options: ExportOptions
) -> list[GoldenCase]:
    if options.calibration is None:
        return []
    entry = any_number_of(plan.sequence.entry)
    data = checked("--calibration", options.calibration, entry)
    entries = [traced.entry for traced in plan.traced]
    return calibration_cases(data, references, entries)


def long_steps(plan: ExportPlan, options: ExportOptions) -> int:
    """Steps of the longest golden vector: of a large model fewer, since each reads its weights."""
    if options.long is not None:
        return options.long
    layers = plan.model._flatten_layers(include_self=False)
    tables = {id(w): w for x in layers if isinstance(x, keras.layers.Embedding) for w in x.weights}
    read = plan.model.count_params() - sum(math.prod(table.shape) for table in tables.values())
    return min(LONG, max(LEAST_LONG, READ // max(1, read)))


def special_of(
    plan: ExportPlan, references: References, plain: list[GoldenCase], options: ExportOptions
) -> list[GoldenCase]:
    """The golden cases that are for one check alone."""
    stream = plan.stream.entry if plan.stream else None
    entries = (plan.sequence.entry, stream)
    return list(special_cases(references, *entries, plain, options.seed, long_steps(plan, options)))


def proof_of_plan(plan: ExportPlan, references: References, cases: list[GoldenCase]) -> Proof:
    """What the references say of each other."""
    ours, oracle = references.reference, references.oracle
    if not isinstance(ours, Reference) or not isinstance(oracle, Reference):
        return Proof()
    return proof_of(ours, oracle, (plan.stream or plan.sequence).entry, cases)


def check_untouched_by(
    plan: ExportPlan, references: References, cases: Sequence[GoldenCase]
) -> None:
    entry = plan.sequence.entry
    plain = [case for case in cases if entry.name in case.entries]
    layers = list(plan.model._flatten_layers())
    stateful = any(getattr(layer, "stateful", False) for layer in layers)
    if not plain or stateful or any(layer.compute_dtype != "float32" for layer in layers):
        return  # the model's own call changes its state, or computes in another precision
    by_size = sorted(plain, key=lambda case: sum(value.size for value in case.feeds.values()))
    several = [case for case in by_size if len(next(iter(case.feeds.values()))) > 1]
    for case in (by_size[0], *several[:1]):  # a layer may go by the sizes that it is called with
        check_untouched(plan.model, references.reference, case, entry, call_flat)


def checked_samples(options: ExportOptions, entry: EntryPoint) -> Mapping[str, Any] | None:
    samples = options.samples
    return None if samples is None else checked("--samples", samples, entry)
