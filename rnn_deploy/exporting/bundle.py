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
from rnn_deploy.bundle.manifest import Source, json_from_manifest
from rnn_deploy.bundle.proof import PROOF, Proof, write_proof
from rnn_deploy.bundle.store import MANIFEST, record_of, refuse_folder, writing_bundle
from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.exporting import onnx, saved_model, tflite
from rnn_deploy.exporting.onnx_label import Label
from rnn_deploy.exporting.plan import ExportOptions, Plan, plan_of, with_chunks
from rnn_deploy.lowering.choice import Wishes, choices_of
from rnn_deploy.lowering.expected import check_entries
from rnn_deploy.lowering.tflite_choice import TfliteWishes
from rnn_deploy.source.golden import References, check_untouched, chunks_match, make_cases
from rnn_deploy.source.golden_special import special_cases
from rnn_deploy.source.intercept import keeping_states
from rnn_deploy.source.opening import OpenedModel, OpenedSavedModel, open_model
from rnn_deploy.source.proving import proof_of
from rnn_deploy.source.reference import Reference
from rnn_deploy.source.signature import call_flat
from rnn_deploy.spec import EntryPoint

GOLDEN = "golden.npz"
WEIGHTS = "weights.bin"
# Below this many bytes of weights, two self-contained ONNX files are worth more than the space.
SHARE_FROM = 256 * 1024
TOOLS = ("rnn-deploy", "tensorflow", "keras", "tf2onnx", "onnx", "onnx-ir")

Progress = Callable[[str], None]


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
    proof: Proof = field(default_factory=Proof)


def export(
    source: Any,
    output: str | Path,
    options: ExportOptions | None = None,
    *,
    force: bool = False,
    progress: Progress = lambda step: None,
) -> Bundle:
    """Export a Keras model (live, .keras, .h5, or a SavedModel folder) to a bundle at `output`.

    Raises InputError for a bad source or an existing output, UnsupportedModelError when the
    model cannot be exported exactly. Nothing is left behind when it fails.
    """
    options = options or ExportOptions()
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
        _write(draft, root)
    return open_bundle(output)


def reference_cases(
    model: Any, plan: Plan, options: ExportOptions
) -> tuple[list[Case], References]:
    """Golden cases of a planned model, and the references that made them."""
    traced = plan.stream or plan.sequence
    references = References(
        *(Reference(model, traced.entry, dtype) for dtype in ("float32", "float64"))
    )
    stream = plan.stream.entry if plan.stream else None
    samples = _checked_samples(options, plan.sequence.entry)
    cases = make_cases(
        references, plan.sequence.entry, stream, samples, options.seed, every_length=plan.opened
    )
    return cases, references


def proof_of_plan(plan: Plan, references: References, cases: list[Case]) -> Proof:
    """What the references say of each other; nothing where there is no state to follow."""
    ours, oracle = references.reference, references.oracle
    if plan.stream is None or not isinstance(ours, Reference) or not isinstance(oracle, Reference):
        return Proof()
    return proof_of(ours, oracle, plan.stream.entry, cases)


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
    plan, cases, references = _runnable(opened.model, plan, options)
    _check_untouched(plan, references, cases)
    if plan.stream and references.oracle:
        plan = with_chunks(plan, chunks_match(references.oracle, plan.stream.entry, cases))
    progress("holding the references against each other")
    proof = proof_of_plan(plan, references, cases)
    cases += special_of(plan, references, cases, options)
    entries = tuple(traced.entry for traced in plan.traced)
    onnx_models = {}
    if "onnx" in options.to:
        progress("writing ONNX")
        label = _label(opened.source, options, opened.model)
        onnx_models = dict(_onnx_models(plan, options, label))
    tflite_model = None
    if "tflite" in options.to:
        progress("writing TFLite")
        parts = tflite.parts_of(plan, options.tflite_wishes)
        tflite_model = tflite.convert(opened.model, parts), parts
    return Draft(
        opened.source, entries, cases, onnx_models, tflite_model, plan.notes, options.state, proof
    )


def _runnable(
    model: Any, plan: Plan, options: ExportOptions
) -> tuple[Plan, list[Case], References]:
    """The plan with its cases; without a stream entry point whose lengths the model cannot run."""
    try:
        return plan, *reference_cases(model, plan, options)
    except InputError:
        if not plan.opened:
            raise
        note = "no stream entry point: the model runs with no other number of steps than its own"
        plan = replace(plan, stream=None, notes=(*plan.notes, note), opened=False)
        return plan, *reference_cases(model, plan, options)


def _draft_of_saved_model(
    opened: OpenedSavedModel, options: ExportOptions, progress: Progress
) -> Draft:
    asked = (options.wishes, options.tflite_wishes, options.time, options.state)
    if asked != (Wishes(), TfliteWishes(), None, "input"):
        raise UnsupportedModelError(
            "a SavedModel's layers can no longer be read, so --lowering, --tflite-lowering,"
            " --target, --expect, --time and --state do not apply; export the .keras file"
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
    if samples is None:
        return None
    wanted = {tensor.name: tensor for tensor in entry.inputs}
    if set(samples) != set(wanted):
        raise InputError(
            f"--samples holds {sorted(samples)}, the model's inputs are {sorted(wanted)};"
            " give one array for each input, named like it"
        )
    for name, value in samples.items():
        tensor = wanted[name]
        if not tensor.admits(value.shape) or str(value.dtype) != tensor.dtype or 0 in value.shape:
            raise InputError(
                f"--samples: '{name}' is {value.dtype}{value.shape}, the model takes {tensor}"
            )
    return samples


def _write(draft: Draft, root: Path) -> None:
    artifacts = list(_write_onnx(draft, root))
    if draft.tflite_model is not None:
        content, parts = draft.tflite_model
        (root / "model.tflite").write_bytes(content)
        artifacts += [Artifact("model.tflite", "tflite", p.entry.name, p.choices) for p in parts]
    write_cases(root / GOLDEN, draft.cases, draft.source.digest)
    write_proof(root / PROOF, draft.proof)
    paths = dict.fromkeys(
        path for a in artifacts for path in (a.path, a.weights) if path is not None
    )
    manifest = Manifest(
        source=draft.source,
        entries=draft.entries,
        artifacts=tuple(artifacts),
        golden=GOLDEN,
        files=tuple(record_of(root, path) for path in (*paths, GOLDEN, PROOF)),
        tools={name: version(name) for name in TOOLS},
        notes=draft.notes,
        state=draft.state,
    )
    (root / MANIFEST).write_text(json_from_manifest(manifest), encoding="utf-8")


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
