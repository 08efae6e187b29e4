"""The inputs, outputs and states of a file for TFLite-Micro, as C++ sees them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.spec import EntryPoint, TensorSpec
from rnn_deploy.tflite.micro.source import MicroTensor
from rnn_deploy.tflite.quantise.integer_io import TensorScale

# The type in C++, and the member of TfLiteTensor::data.
_TYPES = {
    "float32": ("float", "f"), "int32": ("int32_t", "i32"), "int64": ("int64_t", "i64"),
    "int8": ("int8_t", "int8"), "uint8": ("uint8_t", "uint8"), "bool": ("bool", "b"),
    "int16": ("int16_t", "i16"),
}  # fmt: skip
Tensors = tuple[MicroTensor, ...]


def tensors_of(
    model: Any, entry: EntryPoint, integers: Mapping[str, TensorScale]
) -> tuple[Tensors, Tensors, tuple[tuple[int, int], ...]]:
    """Return the inputs, the outputs, and the indices of each state's input and output.

    model: the file's object form. integers: the scales of the tensors that are integers in the file
    and float32 in the entry point, by name. Raise UnsupportedModelError for a type without a name
    here.
    """
    graph = model.subgraphs[0]
    inputs = _tensors(graph, graph.inputs, entry.all_inputs, integers)
    outputs = _tensors(graph, graph.outputs, entry.all_outputs, integers)
    ins, outs = ([tensor.name for tensor in tensors] for tensors in (inputs, outputs))
    states = [(ins.index(s.tensor.name), outs.index(s.next_name)) for s in entry.states]
    return inputs, outputs, tuple(states)


def _tensors(
    graph: Any,
    indices: Sequence[int],
    specs: Sequence[TensorSpec],
    integers: Mapping[str, TensorScale],
) -> Tensors:
    return tuple(
        _tensor([int(dim) for dim in graph.tensors[index].shape], spec, integers.get(spec.name))
        for index, spec in zip(indices, specs, strict=True)
    )


def _tensor(shape: list[int], spec: TensorSpec, integer: TensorScale | None) -> MicroTensor:
    dtype = spec.dtype if integer is None else integer.dtype
    if dtype not in _TYPES:
        raise UnsupportedModelError(
            "E-MODEL-DTYPE",
            f"'{spec.name}' is {dtype}, which the header for TFLite-Micro has no type for;"
            f" use one of {', '.join(_TYPES)}",
        )
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return MicroTensor(spec.name, tuple(shape), size, *_TYPES[dtype], integer)
