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
_TYPES = {
    "float32": schema.TensorType.FLOAT32, "int32": schema.TensorType.INT32,
    "bool": schema.TensorType.BOOL,
}  # fmt: skip
_ABSENT = -1  # in place of an optional input


def fuse(content: bytes, layers: Mapping[str, RecurrentLayer]) -> bytes:
    """The file with an operator for every marker; layers by name.

    Raises UnsupportedModelError for operators that are neither builtins nor markers.
    """
    model = unpacked(content)
    for graph in list(model.subgraphs):
        editor = _Editor(model, graph)
        markers = [o for o in graph.operators if editor.custom(o) == "PyFuncStateless"]
        marked = {int(index) for marker in markers for index in marker.outputs}
        # What tells the shape of a marker's output: it becomes the output itself.
        shaping = [
            o
            for o in graph.operators
            if editor.custom(o) == "EnsureShape" and int(o.inputs[0]) in marked
        ]
        shaped = {int(o.inputs[0]): int(o.outputs[0]) for o in shaping}
        for marker in markers:
            outputs = [shaped.get(int(index), int(index)) for index in marker.outputs]
            _call(editor, marker, layers[_layer_of(marker)], outputs)
        graph.operators = [o for o in graph.operators if o not in shaping]
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
        """A tensor with a value: float32, int32 or bool."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        index = self.tensor(list(value.shape), len(self.model.buffers) - 1)
        self.graph.tensors[index].type = _TYPES[value.dtype.name]
        return index

    def tensor(self, shape: list[int], buffer: int = 0) -> int:
        """A float32 tensor; -1 in its shape is open."""
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.buffer = b"", schema.TensorType.FLOAT32, buffer
        self.graph.tensors.append(tensor)
        self.shape(len(self.graph.tensors) - 1, shape)
        return len(self.graph.tensors) - 1

    def shape(self, index: int, shape: list[int]) -> None:
        """Give a tensor its shape."""
        tensor = self.graph.tensors[index]
        tensor.shape = np.array([max(dim, 1) for dim in shape], np.int32)
        if -1 in shape:
            tensor.shapeSignature = np.array(shape, np.int32)

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


def _call(editor: _Editor, marker: Any, layer: RecurrentLayer, outputs: list[int]) -> None:
    """Make of the marker a call of the layer's own subgraph.

    A state's memory is laid out when its subgraph is prepared, at the size that it has then. In
    the main graph that may come before sizes are known, and the operator would write beyond it;
    a subgraph is prepared when its inputs are. TFLite has no plain call; both branches of an IF do.
    """
    index = len(editor.model.subgraphs)
    editor.model.subgraphs.append(_subgraph(editor.model, layer))
    options = schema.IfOptionsT()
    options.thenSubgraphIndex = options.elseSubgraphIndex = index
    inputs = [editor.constant(np.ones((), np.bool_)), *map(int, marker.inputs)]
    for output, shape in zip(outputs, _shapes(layer), strict=True):
        editor.shape(output, shape)
    call = editor.operator(_BUILTIN.IF, inputs, outputs, schema.BuiltinOptions.IfOptions, options)
    vars(marker).update(vars(call))


def _shapes(layer: RecurrentLayer) -> list[list[int]]:
    """Of the outputs: every step's, and an LSTM's c."""
    return [[-1, -1, layer.units], *[[-1, layer.units]] * (len(layer.roles) - 1)]


def _subgraph(model: Any, layer: RecurrentLayer) -> Any:
    """x and the states: the states copied, then the operator; its output, and an LSTM's c."""
    graph = schema.SubGraphT()
    graph.name, graph.tensors = b"", []
    editor = _Editor(model, graph)
    x = editor.tensor([-1, -1, layer.width])
    states = [editor.tensor([-1, layer.units]) for _ in layer.roles]
    kept = [editor.tensor([-1, layer.units]) for _ in layer.roles]
    y = editor.tensor([-1, -1, layer.units])
    copies = [_copy(editor, a, b) for a, b in zip(states, kept, strict=True)]
    write = _lstm if layer.cell == "lstm" else _simple_rnn
    graph.operators = [*copies, write(editor, layer, x, kept, y)]
    graph.inputs, graph.outputs = (np.array(i, np.int32) for i in ([x, *states], [y, *kept[1:]]))
    return graph


def _copy(editor: _Editor, source: int, to: int) -> Any:
    """The tensor `to`, which an operator may write over, begins as `source`."""
    editor.graph.tensors[to].isVariable = True
    once = editor.constant(np.ones(2, np.int32))
    kind = schema.BuiltinOptions.TileOptions
    return editor.operator(_BUILTIN.TILE, [source, once], [to], kind, schema.TileOptionsT())


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
