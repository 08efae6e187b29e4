"""Put TFLite's fused recurrent operators where `lowering.tflite_fused` left its markers.

The operators keep their state in a tensor of their own, over which they write. Here each state is
copied into that tensor first, at every invocation, and read from it afterwards, so that nothing
stays from one invocation to the next and no input is changed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.exporting.tflite_merge import packed, unpacked
from rnn_deploy.lowering.tflite_fused import MARKER
from rnn_deploy.spec import Array, RecurrentLayer

_BUILTIN = schema.BuiltinOperator
_KIND = schema.ActivationFunctionType
_ACTIVATIONS = {
    "linear": _KIND.NONE, "relu": _KIND.RELU, "relu6": _KIND.RELU6, "tanh": _KIND.TANH
}  # fmt: skip
_ABSENT = -1  # in place of an optional input


def fuse(content: bytes, layers: Mapping[str, RecurrentLayer]) -> bytes:
    """The file with an operator for every marker; layers by name.

    Raises UnsupportedModelError for operators that are neither builtins nor markers.
    """
    model = unpacked(content)
    for graph in model.subgraphs:
        editor = _Editor(model, graph)
        markers = [o for o in graph.operators if editor.custom(o) == "PyFuncStateless"]
        marked = {int(index) for marker in markers for index in marker.outputs}
        # What tells the shape of a marker's output: it becomes the output itself.
        shaped = {
            int(o.inputs[0]): o
            for o in graph.operators
            if editor.custom(o) == "EnsureShape" and int(o.inputs[0]) in marked
        }
        operators: list[Any] = []
        for operator in graph.operators:
            if operator in markers:
                outputs = [
                    int(shaped[int(i)].outputs[0]) if int(i) in shaped else None
                    for i in operator.outputs
                ]
                layer = layers[_layer_of(operator)]
                operators += _operators(editor, layer, [int(i) for i in operator.inputs], outputs)
            elif operator not in shaped.values():
                operators.append(operator)
        graph.operators = operators
    _refuse_foreign(model)
    return packed(model)


@dataclass(frozen=True)
class _Editor:
    """Adds to one subgraph of a model."""

    model: Any
    graph: Any

    def custom(self, operator: Any) -> str:
        """The name of an operator that is no builtin, else nothing."""
        code = self.model.operatorCodes[operator.opcodeIndex].customCode
        return code.decode() if code else ""

    def constant(self, value: Array) -> int:
        """A tensor with a value."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        return self.tensor(list(value.shape), len(self.model.buffers) - 1)

    def tensor(self, shape: list[int], buffer: int = 0) -> int:
        """A float32 tensor; -1 in its shape is open."""
        tensor = schema.TensorT()
        tensor.shape = np.array([max(dim, 1) for dim in shape], np.int32)
        if -1 in shape:
            tensor.shapeSignature = np.array(shape, np.int32)
        tensor.type, tensor.buffer = schema.TensorType.FLOAT32, buffer
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(
        self, code: int, inputs: list[int], outputs: list[int], kind: int, options: Any
    ) -> Any:
        """A builtin operator with its options."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(code)
        operator.inputs, operator.outputs = (np.array(i, np.int32) for i in (inputs, outputs))
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        return operator

    def _code(self, code: int) -> int:
        entry = schema.OperatorCodeT()
        entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 1
        self.model.operatorCodes.append(entry)
        return len(self.model.operatorCodes) - 1


def _operators(
    editor: _Editor, layer: RecurrentLayer, inputs: list[int], outputs: list[int | None]
) -> list[Any]:
    """A layer's operators: its states copied, then itself."""
    x, *initial = inputs
    steps, *cells = outputs
    assert steps is not None
    kept = [editor.tensor([-1, layer.units]) if c is None else c for c in (None, *cells)]
    copies = [_copy(editor, a, b) for a, b in zip(initial, kept, strict=True)]
    write = _lstm if layer.cell == "lstm" else _simple_rnn
    return [*copies, write(editor, layer, x, kept, steps)]


def _copy(editor: _Editor, source: int, to: int) -> Any:
    """The tensor `to`, which an operator may write over, begins as `source`."""
    editor.graph.tensors[to].isVariable = True
    options = schema.AddOptionsT()
    zero = editor.constant(np.zeros((), np.float32))
    kind = schema.BuiltinOptions.AddOptions
    return editor.operator(_BUILTIN.ADD, [source, zero], [to], kind, options)


def _simple_rnn(editor: _Editor, layer: RecurrentLayer, x: int, h: list[int], y: int) -> Any:
    options = schema.SequenceRNNOptionsT()
    options.timeMajor, options.fusedActivationFunction = False, _ACTIVATIONS[layer.activation]
    weights = [layer.kernel.T, layer.recurrent_kernel.T, _bias(layer)]
    inputs = [x, *map(editor.constant, weights), *h]
    kind = schema.BuiltinOptions.SequenceRNNOptions
    return editor.operator(_BUILTIN.UNIDIRECTIONAL_SEQUENCE_RNN, inputs, [y], kind, options)


def _lstm(editor: _Editor, layer: RecurrentLayer, x: int, states: list[int], y: int) -> Any:
    """Gates are i, f, g, o in both; no peepholes, projection, clipping or normalisation."""
    options = schema.UnidirectionalSequenceLSTMOptionsT()
    options.timeMajor, options.fusedActivationFunction = False, _ACTIVATIONS[layer.activation]
    kernels, recurrent, biases = (
        [editor.constant(np.ascontiguousarray(part.T)) for part in np.split(whole, 4, -1)]
        for whole in (layer.kernel, layer.recurrent_kernel, _bias(layer))
    )
    inputs = [
        *(x, *kernels, *recurrent, *[_ABSENT] * 3, *biases),
        *([_ABSENT] * 2 + states + [_ABSENT] * 4),
    ]
    kind = schema.BuiltinOptions.UnidirectionalSequenceLSTMOptions
    return editor.operator(_BUILTIN.UNIDIRECTIONAL_SEQUENCE_LSTM, inputs, [y], kind, options)


def _bias(layer: RecurrentLayer) -> Array:
    gates = layer.recurrent_kernel.shape[1]
    return np.zeros(gates, np.float32) if layer.bias is None else layer.bias


def _layer_of(marker: Any) -> str:
    found = re.search(MARKER.encode() + b":([^\0]+)\0", bytes(marker.customOptions))
    assert found is not None
    return found[1].decode()


def _refuse_foreign(model: Any) -> None:
    used = {o.opcodeIndex for graph in model.subgraphs for o in graph.operators}
    codes = [model.operatorCodes[index].customCode for index in used]
    foreign = sorted(code.decode() for code in codes if code)
    if foreign:
        raise UnsupportedModelError(
            f"TFLite's builtin operators cannot express {', '.join(foreign)}; export with --to"
            " onnx only"
        )
