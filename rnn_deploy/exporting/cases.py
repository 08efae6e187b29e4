"""The golden cases of a planned model, and the references that compute them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from rnn_deploy.keras.access import is_a, layers_in
from rnn_deploy.keras.signature import call_flat
from rnn_deploy.references.golden import References, check_untouched, make_cases
from rnn_deploy.references.golden_special import SpecialCases, special_cases
from rnn_deploy.references.proving import proof_of
from rnn_deploy.references.reference import Reference
from rnn_deploy.spec import EntryPoint, chunks

LONG = 10_000
LEAST_LONG = 1_000
# The limit on weights x steps: some seconds of TensorFlow in float32 and float64.
READ = 2_000_000_000


def references_of(model: Any, plan: ExportPlan) -> References:
    """Return the references of the widest entry point; each is traced when it first runs."""
    entry = (plan.stream or plan.sequence).entry
    return References(*(Reference(model, entry, dtype) for dtype in ("float32", "float64")))


def reference_cases(
    references: References,
    plan: ExportPlan,
    options: ExportOptions,
    calibration: Sequence[GoldenCase] = (),
) -> list[GoldenCase]:
    """Return the golden cases of a planned model.

    calibration: real inputs; if there are any, the cases are drawn from their rows.
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


def evaluation_of(
    references: References, plan: ExportPlan, options: ExportOptions
) -> list[GoldenCase]:
    """Return the held-out inputs in batches, cut where the model can be run in chunks."""
    if options.evaluate is None:
        return []
    data = checked("--evaluate", options.evaluate, any_number_of(plan.sequence.entry))
    entries = [traced.entry for traced in plan.traced]
    cases = calibration_cases(data, references, entries, "--evaluate")
    stream = plan.stream.entry if plan.stream else None
    if stream is None or not stream.chunked.ok or len(stream.time_symbols) != 1:
        return cases
    return [_cut_once(case, stream) for case in cases]


def _cut_once(case: GoldenCase, stream: EntryPoint) -> GoldenCase:
    steps = chunks.length_of(stream, case.feeds)
    return replace(case, chunks=(1, steps - 1)) if steps > 1 else case


def long_steps(plan: ExportPlan, options: ExportOptions) -> int:
    """Return the steps of the longest golden vector: fewer for a large, and so slow, model."""
    if options.long is not None:
        return options.long
    layers = layers_in(plan.model, include_self=False)
    tables = {id(w): w for x in layers if is_a(x, "Embedding") for w in x.weights}
    read = plan.model.count_params() - sum(math.prod(table.shape) for table in tables.values())
    return min(LONG, max(LEAST_LONG, READ // max(1, read)))


def special_of(
    plan: ExportPlan, references: References, plain: list[GoldenCase], options: ExportOptions
) -> SpecialCases:
    """Return the golden cases that are for one check only."""
    stream = plan.stream.entry if plan.stream else None
    return special_cases(
        references,
        *(plan.sequence.entry, stream, plain, options.seed),
        long=long_steps(plan, options),
        nan=not plan.sequence.trace.orders_nan,
    )


def proof_of_plan(plan: ExportPlan, references: References, cases: list[GoldenCase]) -> Proof:
    """Return how far the references differ from each other."""
    ours, oracle = references.reference, references.oracle
    if not isinstance(ours, Reference) or not isinstance(oracle, Reference):
        return Proof()
    return proof_of(ours, oracle, (plan.stream or plan.sequence).entry, cases)


def check_untouched_by(
    plan: ExportPlan, references: References, cases: Sequence[GoldenCase]
) -> None:
    entry = plan.sequence.entry
    plain = [case for case in cases if entry.name in case.entries]
    layers = layers_in(plan.model)
    stateful = any(getattr(layer, "stateful", False) for layer in layers)
    if not plain or stateful or any(layer.compute_dtype != "float32" for layer in layers):
        return  # the model's own call changes its state, or computes in another precision
    by_size = sorted(plain, key=lambda case: sum(value.size for value in case.feeds.values()))
    several = [case for case in by_size if len(next(iter(case.feeds.values()))) > 1]
    for case in (by_size[0], *several[:1]):  # a layer may depend on the sizes of the call
        check_untouched(plan.model, references.reference, case, entry, call_flat)


def checked_samples(options: ExportOptions, entry: EntryPoint) -> Mapping[str, Any] | None:
    samples = options.samples
    return None if samples is None else checked("--samples", samples, entry)
