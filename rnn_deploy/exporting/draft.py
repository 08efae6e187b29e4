"""What will be written: a model read, its golden vectors taken, each format made.

opened model --read--> plan, golden cases --ONNX, TFLite or TFLite-Micro--> Draft
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

import onnx_ir as ir

from rnn_deploy.bundle import GoldenCase, LoweringChoice
from rnn_deploy.bundle.manifest import ModelSource
from rnn_deploy.bundle.proof import Proof
from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.exporting.cases import LONG, checked_samples, long_steps
from rnn_deploy.exporting.options import ExportOptions
from rnn_deploy.exporting.plan import ExportPlan
from rnn_deploy.exporting.reading import ModelReader, Progress, ReadModel
from rnn_deploy.keras.access import layers_in
from rnn_deploy.keras.opening import OpenedModel, OpenedSavedModel
from rnn_deploy.onnx import saved_model
from rnn_deploy.onnx import writer as onnx
from rnn_deploy.onnx.choice import OnnxLoweringRequest, choices_of, lowerings_of
from rnn_deploy.onnx.expected import check_entries
from rnn_deploy.onnx.metadata import ModelMetadata
from rnn_deploy.references.golden import References, make_cases
from rnn_deploy.references.rows import rows_match
from rnn_deploy.spec import EntryPoint, RecurrentLayer
from rnn_deploy.tflite import writer as tflite
from rnn_deploy.tflite.choice import INPLACE, LOOP, TfliteLoweringRequest
from rnn_deploy.tflite.micro.files import MicroFile, micro_files
from rnn_deploy.tflite.quantise.calibration import (
    feeds_by_entry,
)
from rnn_deploy.tflite.quantise.quantise import NONE, Feeds, QuantisedFile, quantised


@dataclass(frozen=True)
class Draft:
    """What will be written: entry points, cases, and the ONNX and TFLite models."""

    source: ModelSource
    entries: tuple[EntryPoint, ...]
    cases: Sequence[GoldenCase]
    onnx_models: Mapping[str, tuple[ir.Model, tuple[LoweringChoice, ...]]]
    tflite_model: tuple[bytes, Sequence[tflite.TfliteEntry]] | None
    notes: tuple[str, ...]
    state: str = "input"
    quantised: QuantisedFile | None = None
    micro: tuple[MicroFile, ...] = ()
    calibration: Sequence[GoldenCase] = ()
    proof: Proof = field(default_factory=Proof)


def draft_of_model(
    opened: OpenedModel,
    options: ExportOptions,
    progress: Progress,
    reader: ModelReader | None = None,
) -> Draft:
    """reader: of the same model, where it is exported in other forms too."""
    read = (reader or ModelReader(opened.model)).read(options, progress)
    plan, cases, references, calibration = read.plan, read.cases, read.references, read.calibration
    entries = tuple(traced.entry for traced in plan.traced)
    notes = (*opened.notes, *plan.notes, *_notes_on(long_steps(plan, options), options))
    draft = Draft(opened.source, entries, cases, {}, None, notes, options.state, proof=read.proof)

    def quantise(content: bytes, *entries: EntryPoint) -> QuantisedFile:
        progress(f"quantising to {options.quantize}")
        feeds = feeds_by_entry(calibration, entries, references)
        return _quantised(content, options.quantize, feeds, plan)

    small = None if options.quantize == NONE else quantise
    if options.micro:
        progress("writing for TFLite-Micro")
        files = micro_files(plan, options.tflite_wishes, small)
        return replace(draft, micro=files, calibration=calibration)
    if "onnx" in options.to:
        progress("writing ONNX")
        label = _label(opened.source, options, opened.model)
        draft = replace(draft, onnx_models=dict(_onnx_models(read, options, label)))
    if "tflite" in options.to:
        progress("writing TFLite")
        # In place, products and outputs share a buffer, and so the one scale that int8 gives it.
        loop = LOOP if options.quantize == "int8" else INPLACE
        parts = tflite.parts_of(plan, options.tflite_wishes, plain=small is not None, loop=loop)
        content = tflite.convert(opened.model, parts)
        made = None if small is None else small(content, *(part.entry for part in parts))
        content = content if made is None else made.content
        draft = replace(draft, tflite_model=(content, parts), quantised=made)
    return replace(draft, calibration=calibration)


def _notes_on(steps: int, options: ExportOptions) -> Iterator[str]:
    if options.long is None and steps < LONG:
        yield (
            f"the longest golden vector has {steps:,} steps, since the model is large;"
            f" --long {LONG} makes it longer"
        )


def _quantised(content: bytes, mode: str, feeds: Feeds, plan: ExportPlan) -> QuantisedFile:
    layers = plan.sequence.trace.layers
    kernels = [layer.recurrent_kernel for layer in layers if isinstance(layer, RecurrentLayer)]
    return quantised(content, mode, feeds, kernels=kernels, model=plan.model.name)


def _onnx_models(
    read: ReadModel, options: ExportOptions, label: ModelMetadata
) -> Iterator[tuple[str, tuple[ir.Model, tuple[LoweringChoice, ...]]]]:
    plan, converted = read.plan, read.converted
    check_entries(options.wishes.expect, [traced.entry.name for traced in plan.traced])
    for traced in plan.traced:
        trace, entry = traced.trace, traced.entry
        if id(trace) not in converted:
            converted[id(trace)] = onnx.convert(trace)
        choices = choices_of(trace.calls.values(), options.wishes, entry)
        model = onnx.assemble(converted[id(trace)], trace.calls, choices, entry, label)
        yield entry.name, (model, choices)
    if plan.stream is None or plan.step is None:
        return
    calls, entry = plan.step.trace.calls, plan.step.entry
    at_one_step = choices_of(calls.values(), options.wishes, entry)
    if lowerings_of(at_one_step) != lowerings_of(choices):  # the stream's, which came last
        # What is around the layers is the stream's: it takes one step as it takes any number.
        graph = converted[id(plan.stream.trace)]
        yield entry.name, (onnx.assemble(graph, calls, at_one_step, entry, label), at_one_step)


def draft_of_saved_model(
    opened: OpenedSavedModel, options: ExportOptions, progress: Progress
) -> Draft:
    asked = (options.wishes, options.tflite_wishes, options.time, options.state, options.quantize)
    if asked != (OnnxLoweringRequest(), TfliteLoweringRequest(), None, "input", NONE):
        raise UnsupportedModelError(
            "a SavedModel's layers can no longer be read, so --lowering, --tflite-lowering,"
            " --target, --expect, --time, --state and --quantize do not apply; export the .keras"
            " file"
        )
    if "onnx" not in options.to:
        raise UnsupportedModelError(
            "a SavedModel's loops need more than TFLite's builtin operators; export the .keras"
            " file, or this one with --to onnx"
        )
    progress("taking golden vectors from TensorFlow")
    reference = saved_model.SavedModelReference(opened)
    entry = saved_model.entry_of(opened, reference, options.samples)
    samples = checked_samples(options, entry)
    cases = make_cases(References(reference, None), entry, None, samples, options.seed)
    entry = replace(entry, rows=rows_match(reference.run, entry, cases))
    progress("writing ONNX")
    model = saved_model.convert(opened, entry, _label(opened.source, options))
    notes: tuple[str, ...] = saved_model.NOTES
    if "tflite" in options.to:
        notes = (*notes, "no TFLite: a SavedModel's loops need more than its builtin operators")
    return Draft(opened.source, (entry,), cases, {entry.name: (model, ())}, None, notes)


def _label(source: ModelSource, options: ExportOptions, model: Any = None) -> ModelMetadata:
    said = f"{source.name} ({source.kind}), {source.digest}"
    layers = [] if model is None else [layer.name for layer in layers_in(model)]
    inner = frozenset(name for name in layers if model is None or name != model.name)
    return ModelMetadata(version("rnn-deploy"), options.opset, said, inner)
