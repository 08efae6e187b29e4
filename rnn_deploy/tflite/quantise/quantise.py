"""A TFLite file with weights, or weights and activations, in fewer bits.

    float32 file --prepared--> worker process (ai-edge-quantizer) --restored--> quantised file

It works on the finished file, so every lowering is quantised in the same way, and both signatures
keep their names and, unless integers are requested, their float32 inputs, outputs and states. The
quantiser may silently skip weights: the changed recurrent weights are counted, and zero is an
error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.spec import Array
from rnn_deploy.tflite.flatbuffer.alias import written_apart, written_in_place
from rnn_deploy.tflite.flatbuffer.merge import share_buffers, share_codes, unpacked
from rnn_deploy.tflite.flatbuffer.packing import packed
from rnn_deploy.tflite.format import DYNAMIC, FLOAT16, INT8, INT16X8
from rnn_deploy.tflite.quantise.integer_io import Range, TensorScale, with_integer_io
from rnn_deploy.tflite.quantise.recurrent_weights import (
    kept_as,
    left_float,
    operator_names,
    recurrent_weights,
    weight_bytes,
)
from rnn_deploy.tflite.quantise.tables import quantise_tables
from rnn_deploy.workers.process import WorkerError, call_in_process

# The type of Embedding tables.
TABLES = {FLOAT16: "float16", DYNAMIC: "int8", INT8: "int8", INT16X8: "int8"}
WORKER = "rnn_deploy.tflite.quantise.worker:quantise"  # only its own process imports it
TIME_LIMIT = 300.0  # seconds
FLOAT32, INT16_TYPE, INT8_TYPE = 0, 7, 9  # schema.TensorType
# Feeds by signature: the runs of each entry point, from which ranges are learnt.
Feeds = Mapping[str, Sequence[Mapping[str, Array]]]


@dataclass(frozen=True)
class QuantisedFile:
    """A quantised file.

    recurrent: how many of the `recurrent_all` different recurrent weights are quantised.
    weight_bytes, float_bytes: of all weights, now and before. notes: what stayed float32, and why.
    integers: the inputs, outputs and states that are integers, with their scales.
    """

    content: bytes
    mode: str
    recurrent: int
    recurrent_all: int
    weight_bytes: int
    float_bytes: int
    notes: tuple[str, ...] = ()
    integers: Mapping[str, TensorScale] = field(default_factory=dict)


@dataclass(frozen=True)
class IntegerIo:
    """Integers as inputs, outputs and states. The fields are those of `with_integer_io`."""

    dtype: str
    ranges: Mapping[str, Range]
    states: Mapping[str, str]


def quantised(
    content: bytes,
    mode: str,
    feeds: Feeds,
    *,
    kernels: Sequence[Array],
    model: str,
    io: IntegerIo | None = None,
) -> QuantisedFile:
    """Quantise the float32 file `content`.

    feeds: for a mode of WITH_RANGES, the calibration runs. kernels: the layers' recurrent kernels,
    to find them in the file. model: its name. io: None for float32 inputs and outputs. Raises
    UnsupportedModelError if the quantiser fails, crashes, or changes no recurrent weight.
    """
    plain = written_apart(content)
    before = unpacked(plain)
    recurrent = recurrent_weights(before, kernels)
    after = unpacked(_quantised_apart(_prepared(plain), mode, feeds, model))
    _restore(after, before)
    _mend_reads(after)
    quantise_tables(after, TABLES[mode])
    integers = {} if io is None else with_integer_io(after, io.dtype, io.ranges, io.states)
    share_buffers(after)
    share_codes(after)
    changed = sum(kept_as(after, place) != "FLOAT32" for place in recurrent)
    if not changed:
        raise UnsupportedModelError(
            "E-MODEL-NOT-QUANTISED",
            f"model '{model}': --quantize {mode} changed none of {len(recurrent)} recurrent"
            " weights; remove --quantize, or --tflite-lowering fused, whose operators the quantiser"
            " does not know",
        )
    made = packed(after)
    return QuantisedFile(
        made if plain is content else written_in_place(made),
        mode,
        changed,
        len(recurrent),
        weight_bytes(after),
        weight_bytes(before),
        _notes(after, mode),
        integers,
    )


def _notes(model: Any, mode: str) -> tuple[str, ...]:
    left = left_float(model)
    if not left:
        return ()
    size = sum(bytes_ for *_, bytes_ in left)
    listed = ", ".join(f"{shape} of {operator}" for operator, shape, _ in left)
    return (
        f"{size:,} B of weights stay float32 under --quantize {mode}, whose quantiser leaves these"
        f" operators as they are: {listed}",
    )


def _prepared(content: bytes) -> bytes:
    """Give every tensor its own name and its own buffer.

    The quantiser identifies tensors by name. A bias that two signatures share would be quantised
    twice, with two scales, in one buffer.
    """
    model = unpacked(content)
    shared, model.buffers = model.buffers, model.buffers[:1]
    for g, graph in enumerate(model.subgraphs):
        for t, tensor in enumerate(graph.tensors):
            tensor.name = _name(g, t)
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    for owner in (*tensors, *(model.metadata or ())):
        if owner.buffer:
            model.buffers.append(shared[owner.buffer])
            owner.buffer = len(model.buffers) - 1
    return packed(model)


def _quantised_apart(content: bytes, mode: str, feeds: Feeds, model: str) -> bytes:
    plain = {signature: [dict(given) for given in several] for signature, several in feeds.items()}
    try:
        result: bytes = call_in_process(WORKER, content, mode, plain, time_limit=TIME_LIMIT)
    except WorkerError as error:
        raise UnsupportedModelError(
            error.code, f"model '{model}': quantising to {mode}: the quantiser {error.message}"
        ) from error
    return result


def _mend_reads(model: Any) -> None:
    """Make readers of an integer output read the integer tensor.

    If a graph's output is also read by an operator that only moves numbers (a RESHAPE), the
    quantiser lets it read the output's float32 form, with four times as many bytes, so it would
    write beyond its end.
    """
    for graph in model.subgraphs:
        names = operator_names(model, graph)
        named = list(zip(graph.operators, names, strict=True))
        integers_of = {
            int(op.outputs[0]): int(op.inputs[0]) for op, name in named if name == "DEQUANTIZE"
        }
        for operator, name in named:
            gives = {graph.tensors[t].type for t in operator.outputs}
            if gives in ({INT8_TYPE}, {INT16_TYPE}) and name != "QUANTIZE":
                operator.inputs = [integers_of.get(int(t), int(t)) for t in operator.inputs]


def _restore(after: Any, before: Any) -> None:
    """Restore names, and make outputs float32 again.

    If a graph's output is also read by a quantised operator, the quantiser returns the int8 tensor
    in its place.
    """
    for g, (graph, old) in enumerate(zip(after.subgraphs, before.subgraphs, strict=True)):
        places = {tensor.name: t for t, tensor in enumerate(graph.tensors)}
        for t, tensor in enumerate(old.tensors):
            graph.tensors[places[_name(g, t)]].name = tensor.name
        graph.outputs = list(graph.outputs)
        for k, t in enumerate(old.outputs):
            if old.tensors[t].type == FLOAT32:
                graph.outputs[k] = _float32_of(after, graph, places[_name(g, int(t))])
    for definition, old in zip(after.signatureDefs, before.signatureDefs, strict=True):
        graph = after.subgraphs[definition.subgraphIndex]
        _name_alike(graph, graph.inputs, definition.inputs, old.inputs)
        _name_alike(graph, graph.outputs, definition.outputs, old.outputs)


def _float32_of(model: Any, graph: Any, tensor: int) -> int:
    """Return the tensor if it stayed float32, else the tensor to which it is dequantised."""
    if graph.tensors[tensor].type == FLOAT32:
        return tensor
    return next(
        int(operator.outputs[0])
        for operator, name in zip(graph.operators, operator_names(model, graph), strict=True)
        if name == "DEQUANTIZE" and operator.inputs[0] == tensor
    )


def _name_alike(
    graph: Any, indices: Sequence[int], maps: Sequence[Any], old: Sequence[Any]
) -> None:
    for index, entry, before in zip(indices, maps, old, strict=True):
        entry.name, entry.tensorIndex = before.name, int(index)
        graph.tensors[index].name = before.name


def _name(graph: int, tensor: int) -> bytes:
    return f"t{graph}_{tensor}".encode()
