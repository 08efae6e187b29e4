"""The whole export: open, plan, golden vectors, artifacts, manifest.

open --> plan --> golden vectors --> artifacts --> manifest, renamed into place
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx_ir as ir

from rnn_deploy.bundle import Artifact, Bundle, Case, Choice, Manifest, open_bundle, write_cases
from rnn_deploy.bundle.manifest import Cost, MicroModel, Quantisation, Source, json_from_manifest
from rnn_deploy.bundle.proof import PROOF, Proof, write_proof
from rnn_deploy.bundle.store import MANIFEST, record_of, refuse_folder, writing_bundle
from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.exporting import onnx, saved_model, tflite
from rnn_deploy.exporting.calibration import (
    any_number_of,
    calibration_cases,
    checked,
    draws_from,
    feeds_by_entry,
)
from rnn_deploy.exporting.micro import MicroFile, micro_files, without_unchunked_stream
from rnn_deploy.exporting.micro_source import HEADER, SOURCE, array_name, header_of, source_of
from rnn_deploy.exporting.onnx_label import Label
from rnn_deploy.exporting.onnx_test_data import write_test_data
from rnn_deploy.exporting.plan import MICRO, ExportOptions, Plan, plan_of, with_chunks
from rnn_deploy.exporting.quantisation import NONE, Feeds, Quantised, quantised
from rnn_deploy.lowering.choice import Wishes, choices_of
from rnn_deploy.lowering.expected import check_entries
from rnn_deploy.lowering.tflite_choice import TfliteWishes
from rnn_deploy.optional import require
from rnn_deploy.source.golden import References, check_untouched, chunks_match, make_cases
from rnn_deploy.source.golden_special import special_cases
from rnn_deploy.source.intercept import keeping_states
from rnn_deploy.source.opening import OpenedModel, OpenedSavedModel, open_model
from rnn_deploy.source.proving import proof_of
from rnn_deploy.source.reference import Reference
from rnn_deploy.source.signature import call_flat
from rnn_deploy.spec import EntryPoint, RecurrentLayer

GOLDEN = "golden.npz"
WEIGHTS = "weights.bin"
# Below this many bytes of weights, two self-contained ONNX files are worth more than the space.
SHARE_FROM = 256 * 1024
TOOLS = ("rnn-deploy", "tensorflow", "keras", "tf2onnx", "onnx", "onnx-ir")

Progress = Callable[[str], None]
# Measures a quantised bundle on cases that have their truth: the costs, and what to warn of.
# Given from above, since the Keras side knows no runtime.
Appraise = Callable[[Bundle, Sequence[Case]], tuple[tuple[Cost, ...], tuple[str, ...]]]


@dataclass(frozen=True)
class Draft:
    """What will be written: entry points, cases, and the ONNX and TFLite models."""

    source: Source
    entries: tuple[EntryPoint, ...]
    cases: Sequence[Case]
    onnx_models: Mapping[str, tuple[ir.Model, tuple[Choice, ...]]]
    tflite_model: tuple[bytes, Sequence[tflite.Part]] | None
    notes: tuple[str, ...]
    state: str = "input"
    quantised: Quantised | None = None
    micro: tuple[MicroFile, ...] = ()
    calibration: Sequence[Case] = ()
    proof: Proof = field(default_factory=Proof)


def export(
    source: Any,
    output: str | Path,
    options: ExportOptions | None = None,
    *,
    force: bool = False,
    progress: Progress = lambda step: None,
    appraise: Appraise | None = None,
) -> Bundle:
    """Export a Keras model (live, .keras, .h5, or a SavedModel folder) to a bundle at `output`.

    appraise: measures what quantisation cost, for the manifest; without it a quantised bundle is
    judged as if it were float32.

    Raises InputError for a bad source or an existing output, UnsupportedModelError when the
    model cannot be exported exactly. Nothing is left behind when it fails.
    """
    options = options or ExportOptions()
    if options.quantize != NONE:
        require("ai_edge_quantizer")
    if options.micro:
        require("tflite_micro")
    refuse_folder(Path(output), force=force)
    progress("opening the model")
    opened = open_model(source, trust_source=options.trust_source)
    if isinstance(opened, OpenedSavedModel):
        draft = _draft_of_saved_model(opened, options, progress)
    else:
        with keeping_states(options.state == "keep"):
            draft = _draft_of_model(opened, options, progress)
    progress("writing the bundle")
    with writing_bundle(output, force=force) as root:
        manifest = _write(draft, root, options.test_data)
        if manifest.quantisation is not None and appraise is not None:
            progress("measuring what quantisation costs")
            costs, warnings = appraise(open_bundle(root), [*draft.cases, *draft.calibration])
            quantisation = replace(manifest.quantisation, costs=costs)
            notes = (*manifest.notes, *warnings)
            _write_manifest(replace(manifest, quantisation=quantisation, notes=notes), root)
    return open_bundle(output)


def reference_cases(
    model: Any, plan: Plan, options: ExportOptions, calibration: Sequence[Case] = ()
) -> tuple[list[Case], References]:
    """Golden cases of a planned model, and the references that made them.

    calibration: real inputs, from whose rows the cases are drawn where there are any.
    """
    references = _references(model, plan)
    stream = plan.stream.entry if plan.stream else None
    samples = _checked_samples(options, plan.sequence.entry)
    cases = make_cases(
        references,
        plan.sequence.entry,
        stream,
        samples,
        options.seed,
        every_length=plan.opened,
        drawn=draws_from(calibration, stream) if calibration else None,
    )
    return cases, references


def _references(model: Any, plan: Plan) -> References:
    entry = (plan.stream or plan.sequence).entry
    return References(*(Reference(model, entry, dtype) for dtype in ("float32", "float64")))


def _calibration(model: Any, plan: Plan, options: ExportOptions) -> list[Case]:
    if options.calibration is None:
        return []
    entry = any_number_of(plan.sequence.entry)
    data = checked("--calibration", options.calibration, entry)
    entries = [traced.entry for traced in plan.traced]
    return calibration_cases(data, _references(model, plan), entries)


def proof_of_plan(plan: Plan, references: References, cases: list[Case]) -> Proof:
    """What the references say of each other."""
    ours, oracle = references.reference, references.oracle
    if not isinstance(ours, Reference) or not isinstance(oracle, Reference):
        return Proof()
    return proof_of(ours, oracle, (plan.stream or plan.sequence).entry, cases)


def special_of(
    plan: Plan, references: References, plain: list[Case], options: ExportOptions
) -> list[Case]:
    """The golden cases that are for one check alone."""
    stream = plan.stream.entry if plan.stream else None
    entries = (plan.sequence.entry, stream)
    return list(special_cases(references, *entries, plain, options.seed, options.long))


def _draft_of_model(opened: OpenedModel, options: ExportOptions, progress: Progress) -> Draft:
    progress("reading the layers")
    plan = plan_of(opened.model, options)
    progress("taking golden vectors from TensorFlow")
    calibration = _calibration(opened.model, plan, options)
    plan, cases, references = _runnable(opened.model, plan, options, calibration)
    _check_untouched(plan, references, cases)
    if plan.stream and references.oracle:
        plan = with_chunks(plan, chunks_match(references.oracle, plan.stream.entry, cases))
    plan = without_unchunked_stream(plan) if options.micro else plan
    progress("holding the references against each other")
    proof = proof_of_plan(plan, references, cases)
    cases += special_of(plan, references, cases, options)
    entries = tuple(traced.entry for traced in plan.traced)
    draft = Draft(opened.source, entries, cases, {}, None, plan.notes, options.state, proof=proof)

    def quantise(content: bytes, *entries: EntryPoint) -> Quantised:
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
        draft = replace(draft, onnx_models=dict(_onnx_models(plan, options, label)))
    if "tflite" in options.to:
        progress("writing TFLite")
        parts = tflite.parts_of(plan, options.tflite_wishes)
        content = tflite.convert(opened.model, parts)
        made = None if small is None else small(content, *(part.entry for part in parts))
        content = content if made is None else made.content
        draft = replace(draft, tflite_model=(content, parts), quantised=made)
    return replace(draft, calibration=calibration)


def _quantised(content: bytes, mode: str, feeds: Feeds, plan: Plan) -> Quantised:
    layers = plan.sequence.trace.layers
    kernels = [layer.recurrent_kernel for layer in layers if isinstance(layer, RecurrentLayer)]
    return quantised(content, mode, feeds, kernels=kernels, model=plan.model.name)


def _runnable(
    model: Any, plan: Plan, options: ExportOptions, calibration: Sequence[Case]
) -> tuple[Plan, list[Case], References]:
    """The plan with its cases; without a stream entry point whose lengths the model cannot run."""
    try:
        return plan, *reference_cases(model, plan, options, calibration)
    except InputError:
        if not plan.opened:
            raise
        note = "no stream entry point: the model runs with no other number of steps than its own"
        plan = replace(plan, stream=None, notes=(*plan.notes, note), opened=False)
        return plan, *reference_cases(model, plan, options, calibration)


def _draft_of_saved_model(
    opened: OpenedSavedModel, options: ExportOptions, progress: Progress
) -> Draft:
    asked = (options.wishes, options.tflite_wishes, options.time, options.state, options.quantize)
    if asked != (Wishes(), TfliteWishes(), None, "input", NONE):
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
    samples = _checked_samples(options, entry)
    cases = make_cases(References(reference, None), entry, None, samples, options.seed)
    progress("writing ONNX")
    model = saved_model.convert(opened, entry, _label(opened.source, options))
    notes: tuple[str, ...] = saved_model.NOTES
    if "tflite" in options.to:
        notes = (*notes, "no TFLite: a SavedModel's loops need more than its builtin operators")
    return Draft(opened.source, (entry,), cases, {entry.name: (model, ())}, None, notes)


def _label(source: Source, options: ExportOptions, model: Any = None) -> Label:
    said = f"{source.name} ({source.kind}), {source.digest}"
    layers = [] if model is None else [layer.name for layer in model._flatten_layers()]
    inner = frozenset(name for name in layers if model is None or name != model.name)
    return Label(version("rnn-deploy"), options.opset, said, inner)


def _onnx_models(
    plan: Plan, options: ExportOptions, label: Label
) -> Iterator[tuple[str, tuple[ir.Model, tuple[Choice, ...]]]]:
    converted: dict[int, ir.Model] = {}
    check_entries(options.wishes.expect, [traced.entry.name for traced in plan.traced])
    for traced in plan.traced:
        trace, entry = traced.trace, traced.entry
        if id(trace) not in converted:
            converted[id(trace)] = onnx.convert(trace)
        choices = choices_of(trace.calls.values(), options.wishes, entry)
        model = onnx.assemble(converted[id(trace)], trace.calls, choices, entry, label)
        yield entry.name, (model, choices)


def _check_untouched(plan: Plan, references: References, cases: Sequence[Case]) -> None:
    entry = plan.sequence.entry
    plain = [case for case in cases if entry.name in case.entries]
    layers = list(plan.model._flatten_layers())
    stateful = any(getattr(layer, "stateful", False) for layer in layers)
    if not plain or stateful or any(layer.compute_dtype != "float32" for layer in layers):
        return  # the model's own call changes its state, or computes in another precision
    shortest = min(plain, key=lambda case: sum(value.size for value in case.feeds.values()))
    check_untouched(plan.model, references.reference, shortest, entry, call_flat)


def _checked_samples(options: ExportOptions, entry: EntryPoint) -> Mapping[str, Any] | None:
    samples = options.samples
    return None if samples is None else checked("--samples", samples, entry)


def _write(draft: Draft, root: Path, test_data: bool | None) -> Manifest:
    artifacts = list(_write_onnx(draft, root))
    if draft.tflite_model is not None:
        content, parts = draft.tflite_model
        (root / "model.tflite").write_bytes(content)
        artifacts += [Artifact("model.tflite", "tflite", p.entry.name, p.choices) for p in parts]
    artifacts += _write_micro(draft, root)
    write_cases(root / GOLDEN, draft.cases, draft.source.digest)
    write_proof(root / PROOF, draft.proof)
    models = {entry: model for entry, (model, _) in draft.onnx_models.items()}
    told = write_test_data(root, models, draft.entries, draft.cases, test_data)
    paths = dict.fromkeys(
        path for a in artifacts for path in (a.path, a.weights) if path is not None
    )
    paths |= dict.fromkeys((HEADER, SOURCE) if draft.micro else ())
    manifest = Manifest(
        source=draft.source,
        entries=draft.entries,
        artifacts=tuple(artifacts),
        golden=GOLDEN,
        files=tuple(record_of(root, path) for path in (*paths, GOLDEN, PROOF, *told)),
        tools={name: version(name) for name in TOOLS},
        notes=draft.notes,
        state=draft.state,
        quantisation=_quantisation(draft),
        micro=tuple(
            MicroModel(file.entry, array_name(file.entry), file.operators, file.arena)
            for file in draft.micro
        ),
    )
    _write_manifest(manifest, root)
    return manifest


def _write_manifest(manifest: Manifest, root: Path) -> None:
    (root / MANIFEST).write_text(json_from_manifest(manifest), encoding="utf-8")


def _write_micro(draft: Draft, root: Path) -> list[Artifact]:
    if not draft.micro:
        return []
    made_by = (draft.micro, draft.source.name, version("rnn-deploy"))
    (root / HEADER).write_text(header_of(*made_by), encoding="utf-8")
    (root / SOURCE).write_text(source_of(*made_by), encoding="utf-8")
    for file in draft.micro:
        (root / file.path).write_bytes(file.content)
    return [Artifact(file.path, MICRO, file.entry, file.choices) for file in draft.micro]


def _quantisation(draft: Draft) -> Quantisation | None:
    files = [file.quantised for file in draft.micro if file.quantised is not None]
    made = files if draft.quantised is None else [draft.quantised]
    if not made:
        return None
    rows = sum(len(next(iter(case.feeds.values()))) for case in draft.calibration)
    data = f" and {rows} sequences of calibration data" if rows else ""
    return Quantisation(
        MICRO if draft.micro else "tflite",
        made[0].mode,
        sum(file.recurrent for file in made),
        sum(file.recurrent_all for file in made),
        sum(file.weight_bytes for file in made),
        sum(file.float_bytes for file in made),
        f"{len(draft.cases)} golden vectors{data}",
    )


def _write_onnx(draft: Draft, root: Path) -> Iterator[Artifact]:
    models = [model for model, _ in draft.onnx_models.values()]
    weights = WEIGHTS if _share_weights(models, root) else None
    for entry, (model, choices) in draft.onnx_models.items():
        path = f"{entry}.onnx"
        (root / path).write_bytes(ir.to_proto(model).SerializeToString(deterministic=True))
        yield Artifact(path, "onnx", entry, choices, weights)


def _share_weights(models: Sequence[ir.Model], root: Path) -> bool:
    """Move the large weights of several models to one file; equal ones are stored once."""
    values = [v for model in models for v in model.graph.initializers.values()]
    large = [v for v in values if v.const_value is not None and v.const_value.nbytes >= 1024]
    if len(models) < 2 or sum(v.const_value.nbytes for v in large) < 2 * SHARE_FROM:
        return False
    by_content: dict[bytes, list[ir.Value]] = {}
    for value in large:
        by_content.setdefault(value.const_value.tobytes(), []).append(value)
    tensors = [same[0].const_value for same in by_content.values()]
    moved = ir.external_data.convert_tensors_to_external(tensors, root, WEIGHTS)
    for same, tensor in zip(by_content.values(), moved, strict=True):
        for value in same:
            value.const_value = tensor
    return True
