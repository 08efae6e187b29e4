"""The inputs, outputs and states of a file for TFLite-Micro, as C++ sees them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.spec import EntryPoint, TensorSpec
from rnn_deploy.tflite.micro.source import MicroTensor

# The type in C++, and the member of TfLiteTensor::data.
_TYPES = {
    "float32": ("float", "f"), "int32": ("int32_t", "i32"), "int64": ("int64_t", "i64"),
    "int8": ("int8_t", "int8"), "uint8": ("uint8_t", "uint8"), "bool": ("bool", "b"),
    "int16": ("int16_t", "i16"),
}  # fmt: skip
Tensors = tuple[MicroTensor, ...]


def tensors_of(
    model: Any, entry: EntryPoint
) -> tuple[Tensors, Tensors, tuple[tuple[int, int], ...]]:
    """Return the inputs, the outputs, and the indices of each state's input and output.

    model: the file's object form. Raise UnsupportedModelError for a type without a name here.
    """
    graph = model.subgraphs[0]
    inputs = _tensors(graph, graph.inputs, entry.all_inputs)
    outputs = _tensors(graph, graph.outputs, entry.all_outputs)
    ins, outs = ([tensor.name for tensor in tensors] for tensors in (inputs, outputs))
    states = [(ins.index(s.tensor.name), outs.index(s.next_name)) for s in entry.states]
    return inputs, outputs, tuple(states)


def _tensors(graph: Any, indices: Sequence[int], specs: Sequence[TensorSpec]) -> Tensors:
    return tuple(
        _tensor([int(dim) for dim in graph.tensors[index].shape], spec)
        for index, spec in zip(indices, specs, strict=True)
    )


def _tensor(shape: list[int], spec: TensorSpec) -> MicroTensor:
    if spec.dtype not in _TYPES:
        raise UnsupportedModelError(
            "E-MODEL-DTYPE",
            f"'{spec.name}' is {spec.dtype}, which the header for TFLite-Micro has no type for;"
            f" use one of {', '.join(_TYPES)}",
        )
    size = math.prod(shape) * np.dtype(spec.dtype).itemsize
    return MicroTensor(spec.name, tuple(shape), size, *_TYPES[spec.dtype])
