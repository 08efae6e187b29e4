"""The format "onnx": write one file for each entry point, and ONNX test data if requested."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx_ir as ir

from rnn_deploy.bundle import Artifact, GoldenCase, LoweringChoice
from rnn_deploy.bundle.manifest import ModelSource
from rnn_deploy.formats.base import FormatFiles
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.formats.read_model import ExportPlan, ReadModel, ReadSavedModel
from rnn_deploy.keras.access import layers_in
from rnn_deploy.onnx import saved_model
from rnn_deploy.onnx.choice import choices_of, lowerings_of
from rnn_deploy.onnx.expected import check_entries
from rnn_deploy.onnx.format import FORMAT, request_from
from rnn_deploy.onnx.metadata import ModelMetadata
from rnn_deploy.onnx.profiles import LOAD_ON
from rnn_deploy.onnx.test_data import place_models, write_test_data
from rnn_deploy.onnx.writer import assemble, convert
from rnn_deploy.spec import EntryPoint

WEIGHTS = "weights.bin"
# With fewer bytes of weights, two self-contained ONNX files are better than less space.
SHARE_FROM = 256 * 1024
Models = Mapping[str, tuple[ir.Model, tuple[LoweringChoice, ...]]]


def choices(plan: ExportPlan, options: ExportOptions) -> list[tuple[str, LoweringChoice]]:
    """Return the lowerings of every entry point, each with the entry point's name."""
    request = request_from(options)
    return [
        (traced.entry.name, choice)
        for traced in plan.all_traced
        for choice in choices_of(traced.trace.calls.values(), request, traced.entry)
    ]


def write(read: ReadModel, folder: Path, options: ExportOptions) -> FormatFiles:
    """Write the files of a Keras model."""
    layers = [layer.name for layer in layers_in(read.plan.model, include_self=False)]
    models = dict(_models(read, options, _metadata(read.source, options, layers)))
    entries = [traced.entry for traced in read.plan.all_traced]
    return _written(models, entries, read.cases, folder, options)


def write_saved_model(read: ReadSavedModel, folder: Path, options: ExportOptions) -> FormatFiles:
    """Write the file of a SavedModel, as tf2onnx converts it."""
    model = saved_model.convert(read.opened, read.entry, _metadata(read.source, options))
    saved_model.check_loops(read.opened, model, read.cases)
    files = _written({read.entry.name: (model, ())}, [read.entry], read.cases, folder, options)
    note = "recurrent layers of a SavedModel are tf2onnx's Loops in ONNX, which are slower"
    return FormatFiles(files.artifacts, files.extra, (note,))


def _models(
    read: ReadModel, options: ExportOptions, label: ModelMetadata
) -> Iterator[tuple[str, tuple[ir.Model, tuple[LoweringChoice, ...]]]]:
    plan, request = read.plan, request_from(options)
    check_entries(request.expect, [traced.entry.name for traced in plan.traced])
    for traced in plan.all_traced:
        trace, entry = traced.trace, traced.entry
        choices = choices_of(trace.calls.values(), request, entry)
        yield (
            entry.name,
            (assemble(_converted(read, trace), trace.calls, choices, entry, label), choices),
        )
    if plan.stream is None or plan.step is None:
        return
    of_stream = choices_of(plan.stream.trace.calls.values(), request, plan.stream.entry)
    calls, entry = plan.step.trace.calls, plan.step.entry
    at_one_step = choices_of(calls.values(), request, entry)
    if lowerings_of(at_one_step) != lowerings_of(of_stream):
        # The nodes around the layers are those of the stream, which also accept a single step.
        graph = _converted(read, plan.stream.trace)
        yield entry.name, (assemble(graph, calls, at_one_step, entry, label), at_one_step)


def _converted(read: ReadModel, trace: Any) -> ir.Model:
    """Return the trace as ONNX with markers; all exports of the model share the conversion."""
    key = FORMAT.name, id(trace)
    if key not in read.cache:
        read.cache[key] = convert(trace)
    return read.cache[key]


def _metadata(
    source: ModelSource, options: ExportOptions, layers: Sequence[str] = ()
) -> ModelMetadata:
    origin = f"{source.name} ({source.kind}), {source.digest}"
    return ModelMetadata(version("rnn-deploy"), options["opset"], origin, frozenset(layers))


def _written(
    models: Models,
    entries: Sequence[EntryPoint],
    cases: Sequence[GoldenCase],
    folder: Path,
    options: ExportOptions,
) -> FormatFiles:
    weights = WEIGHTS if _share_weights([model for model, _ in models.values()], folder) else None
    artifacts = []
    for entry, (model, choices) in models.items():
        path = f"{entry}.onnx"
        (folder / path).write_bytes(ir.to_proto(model).SerializeToString(deterministic=True))
        artifacts.append(Artifact(path, FORMAT.name, entry, choices, weights))
    extra: list[str] = []
    if options["test_data"]:
        by_entry = {entry: model for entry, (model, _) in models.items()}
        extra = write_test_data(folder, by_entry, entries, cases)
        extra += place_models(folder, artifacts)
    load_on = LOAD_ON[options["profile"]]
    return FormatFiles(tuple(artifacts), tuple(extra), load_on=load_on)


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
