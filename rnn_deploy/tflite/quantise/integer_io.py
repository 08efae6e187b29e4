"""Integer inputs, outputs and states of a quantised TFLite file, on request (`--io`).

The quantiser leaves them float32, with an operator between each and the integers within:

    x (float32) -> QUANTIZE -> ... -> DEQUANTIZE -> y (float32)      becomes
    x (int8)    -> QUANTIZE -> ... -> QUANTIZE   -> y (int8)

A QUANTIZE between equal scales is left out. One name has one scale in every signature, and a state
that comes out has the scale of the state that goes in, so a program carries its integers as they
are. An input that is read as float32 is turned back first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.keras.compat import schema
from rnn_deploy.spec import Array
from rnn_deploy.tflite.flatbuffer.editor import SubgraphEditor
from rnn_deploy.tflite.quantise.recurrent_weights import operator_names

_BUILTIN = schema.BuiltinOperator
# Operators' versions that take int16, by TFLite's tools/versioning/op_version.cc.
_QUANTIZE_VERSION, _DEQUANTIZE_VERSION = 3, 3
_INTEGERS = {schema.TensorType.INT8: "int8", schema.TensorType.INT16: "int16"}
Range = tuple[float, float]


@dataclass(frozen=True)
class TensorScale:
    """real value = scale * (integer - zero_point), integers of `dtype`."""

    dtype: str
    scale: float
    zero_point: int

    @property
    def range(self) -> Range:
        """Return the least and the greatest value that the integers represent."""
        info = np.iinfo(self.dtype)
        low = -info.max if self.dtype == "int16" else info.min
        ends = ((end - self.zero_point) * self.scale for end in (low, info.max))
        return next(ends), next(ends)

    @classmethod
    def of_tensor(cls, tensor: Any) -> "TensorScale | None":
        """Return the scale of a file's tensor, None if it is no tensor of integers with one."""
        found, dtype = tensor.quantization, _INTEGERS.get(tensor.type)
        if dtype is None or found is None or found.scale is None or len(found.scale) != 1:
            return None
        return cls(dtype, float(found.scale[0]), int(found.zeroPoint[0]))

    @classmethod
    def of_range(cls, dtype: str, low: float, high: float) -> "TensorScale":
        """Return the scale for values from `low` to `high`; zero is always one of the integers."""
        low, high = min(low, 0.0), max(high, 0.0)
        info = np.iinfo(dtype)
        if dtype == "int16":  # TFLite's int16 is symmetric
            return cls(dtype, float(np.float32(max(-low, high) / info.max)) or 1.0, 0)
        scale = float(np.float32((high - low) / (info.max - info.min))) or 1.0
        return cls(dtype, scale, int(np.clip(round(info.min - low / scale), info.min, info.max)))

    def equals(self, other: "TensorScale | None") -> bool:
        """Return whether both represent the same values, up to rounding of the scale."""
        return (
            other is not None
            and (other.dtype, other.zero_point) == (self.dtype, self.zero_point)
            and bool(np.isclose(other.scale, self.scale, rtol=1e-6))
        )

    def mark(self, tensor: Any) -> None:
        """Give the tensor of a file this scale."""
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = np.array([self.scale], np.float32)
        tensor.quantization.zeroPoint = np.array([self.zero_point], np.int64)


def ranges_of(
    feeds: Mapping[str, Sequence[Mapping[str, Array]]], cases: Sequence[GoldenCase]
) -> dict[str, Range]:
    """Return the least and greatest value of every float input, output and state, by name."""
    values: dict[str, list[Array]] = {}
    for given in (given for several in feeds.values() for given in several):
        for name, value in given.items():
            values.setdefault(name, []).append(value)
    for case in cases:
        for name, value in case.reference.items():
            values.setdefault(name, []).append(value)
    floats = {name: arrays for name, arrays in values.items() if arrays[0].dtype.kind == "f"}
    return {
        name: (min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays))
        for name, arrays in floats.items()
    }


def with_integer_io(
    model: Any, dtype: str, ranges: Mapping[str, Range], states: Mapping[str, str]
) -> dict[str, TensorScale]:
    """Give the signatures of a quantised file integers, and return their scales by name.

    dtype: "int8" or "int16", as within the file. ranges: by the names of the signatures' tensors,
    of every one that is float32; the scales that the quantiser chose widen them. states: the name
    of each state that comes out, and that of the same state as it goes in.
    """
    signatures = [_SignatureEnds(model, definition) for definition in model.signatureDefs]
    groups: dict[str, list[Range]] = {}
    for name, given in ranges.items():
        groups.setdefault(states.get(name, name), []).append(given)
    for signature in signatures:
        for name, found in signature.scales():
            groups.setdefault(states.get(name, name), []).append(found.range)
    united = {
        name: TensorScale.of_range(dtype, min(low for low, _ in ends), max(top for _, top in ends))
        for name, ends in groups.items()
    }
    used: dict[str, TensorScale] = {}
    for signature in signatures:
        for name in signature.names():
            used[name] = united[states.get(name, name)]
        signature.replace(used)
    return used


class _SignatureEnds:
    """The inputs and outputs of one signature, and what stands between them and integers."""

    def __init__(self, model: Any, definition: Any) -> None:
        self._graph = model.subgraphs[definition.subgraphIndex]
        self._editor = SubgraphEditor(model, self._graph)
        self._definition = definition
        operators = self._graph.operators
        self._named = list(zip(operators, operator_names(model, self._graph), strict=True))

    def names(self) -> list[str]:
        """Return the names of the inputs and outputs that are float32."""
        return [
            entry.name.decode() for entry in (*self._definition.inputs, *self._definition.outputs)
            if self._is_float(entry)
        ]  # fmt: skip

    def scales(self) -> Iterator[tuple[str, TensorScale]]:
        """Yield the scales that the quantiser gave what an input becomes, and an output was."""
        for entry in filter(self._is_float, self._definition.inputs):
            for operator in self._quantises(int(entry.tensorIndex)):
                scale = TensorScale.of_tensor(self._graph.tensors[int(operator.outputs[0])])
                if scale is not None:
                    yield entry.name.decode(), scale
        for entry in filter(self._is_float, self._definition.outputs):
            scale = TensorScale.of_tensor(self._graph.tensors[self._source(entry.tensorIndex)])
            if scale is not None:
                yield entry.name.decode(), scale

    def replace(self, scales: Mapping[str, TensorScale]) -> None:
        """Make every float32 input and output a tensor of integers."""
        before = [
            operator
            for entry in filter(self._is_float, self._definition.inputs)
            for operator in self._input(entry, scales[entry.name.decode()])
        ]
        after = [
            self._output(entry, scales[entry.name.decode()])
            for entry in filter(self._is_float, self._definition.outputs)
        ]
        self._graph.operators = [*before, *self._graph.operators, *after]
        _drop_unread(self._graph)

    def _is_float(self, entry: Any) -> bool:
        return bool(self._graph.tensors[entry.tensorIndex].type == schema.TensorType.FLOAT32)

    def _quantises(self, tensor: int) -> list[Any]:
        return [
            operator
            for operator, name in self._named
            if name == "QUANTIZE" and int(operator.inputs[0]) == tensor
        ]

    def _source(self, tensor: int) -> int:
        """The integers that a tensor is made of, or the tensor itself."""
        for operator, name in self._named:
            if name == "DEQUANTIZE" and int(operator.outputs[0]) == tensor:
                return int(operator.inputs[0])
        return int(tensor)

    def _input(self, entry: Any, scale: TensorScale) -> list[Any]:
        """Make an input integers; return what is to be run before everything else."""
        old = int(entry.tensorIndex)
        new = self._like(old, scale)
        for operator in self._quantises(old):
            operator.inputs = [new]
            made = int(operator.outputs[0])
            if scale.equals(TensorScale.of_tensor(self._graph.tensors[made])):
                self._read_instead(made, new)
        read = [t for operator in self._graph.operators for t in operator.inputs]
        floats = old in map(int, (*read, *self._graph.outputs))
        self._graph.inputs = [new if int(t) == old else int(t) for t in self._graph.inputs]
        entry.tensorIndex = new
        if not floats:
            return []
        kind, options = schema.BuiltinOptions.DequantizeOptions, schema.DequantizeOptionsT()
        code, version = _BUILTIN.DEQUANTIZE, _DEQUANTIZE_VERSION
        return [self._editor.operator(code, [new], [old], kind, options, version)]

    def _output(self, entry: Any, scale: TensorScale) -> Any:
        """Make an output integers; return what is to be run after everything else.

        A QUANTIZE even where the scales are equal: one tensor with two names would be one output.
        """
        old = int(entry.tensorIndex)
        source, new = self._source(old), self._like(old, scale)
        self._graph.outputs = [new if int(t) == old else int(t) for t in self._graph.outputs]
        entry.tensorIndex = new
        kind, options = schema.BuiltinOptions.QuantizeOptions, schema.QuantizeOptionsT()
        code, version = _BUILTIN.QUANTIZE, _QUANTIZE_VERSION
        return self._editor.operator(code, [source], [new], kind, options, version)

    def _like(self, old: int, scale: TensorScale) -> int:
        before = self._graph.tensors[old]
        shape = before.shape if before.shapeSignature is None else before.shapeSignature
        dims = [] if shape is None else list(map(int, shape))
        new = self._editor.tensor(dims, dtype=scale.dtype)
        made = self._graph.tensors[new]
        scale.mark(made)
        made.name, before.name = before.name, b""
        return new

    def _read_instead(self, old: int, new: int) -> None:
        for operator in self._graph.operators:
            operator.inputs = [new if int(t) == old else int(t) for t in operator.inputs]


def _drop_unread(graph: Any) -> None:
    """Leave out the conversions that nothing reads any more, until all are read."""
    while True:
        read = {int(t) for operator in graph.operators for t in operator.inputs}
        read |= set(map(int, graph.outputs))
        kept = [o for o in graph.operators if any(int(t) in read for t in o.outputs)]
        if len(kept) == len(graph.operators):
            return
        graph.operators = kept
