"""Replace the markers of `tflite/fused.py` by TFLite's fused recurrent operators.

These operators store their state in a tensor of their own, which they overwrite. Here each state is
copied into that tensor at every invocation and read from it afterwards. So nothing remains from one
invocation to the next, and no input is changed.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras.compat import schema
from rnn_deploy.spec import Array, RecurrentLayer
from rnn_deploy.tflite.flatbuffer.editor import SubgraphEditor
from rnn_deploy.tflite.fused import MARKER

_BUILTIN = schema.BuiltinOperator
_KIND = schema.ActivationFunctionType
_ACTIVATIONS = {
    "linear": _KIND.NONE, "relu": _KIND.RELU, "relu6": _KIND.RELU6, "tanh": _KIND.TANH
}  # fmt: skip
_ABSENT = -1  # in place of an optional input


def fuse(model: Any, layers: Mapping[str, RecurrentLayer]) -> None:
    """Replace every marker of an object form by an operator. layers: by name.

    Raises UnsupportedModelError for operators that are neither builtins nor markers.
    """
    for graph in list(model.subgraphs):
        editor = SubgraphEditor(model, graph)
        markers = [o for o in graph.operators if editor.custom(o) == "PyFuncStateless"]
        marked = {int(index) for marker in markers for index in marker.outputs}
        # The operators that set the shape of a marker's output are replaced by the output itself.
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


def _call(editor: SubgraphEditor, marker: Any, layer: RecurrentLayer, outputs: list[int]) -> None:
    """Change the marker to a call of the layer's own subgraph.

    A state's memory is allocated when its subgraph is prepared, with the size at that time. In the
    main graph that may be before sizes are known, and then the operator would write beyond it. A
    subgraph is prepared after its inputs. TFLite has no plain call, so both branches of an IF call.
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
    """Return the shapes of the outputs: every step's, and an LSTM's c."""
    return [[-1, -1, layer.units], *[[-1, layer.units]] * (len(layer.roles) - 1)]


def _subgraph(model: Any, layer: RecurrentLayer) -> Any:
    """Return a subgraph of x and the states, which copies the states and runs the operator."""
    graph = schema.SubGraphT()
    graph.name, graph.tensors = b"", []
    editor = SubgraphEditor(model, graph)
    x = editor.tensor([-1, -1, layer.width])
    states = [editor.tensor([-1, layer.units]) for _ in layer.roles]
    kept = [editor.tensor([-1, layer.units]) for _ in layer.roles]
    y = editor.tensor([-1, -1, layer.units])
    copies = [_copy(editor, a, b) for a, b in zip(states, kept, strict=True)]
    write = _lstm if layer.cell == "lstm" else _simple_rnn
    graph.operators = [*copies, write(editor, layer, x, kept, y)]
    graph.inputs, graph.outputs = (np.array(i, np.int32) for i in ([x, *states], [y, *kept[1:]]))
    return graph


def _copy(editor: SubgraphEditor, source: int, to: int) -> Any:
    """Return an operator that copies tensor `source` to `to`, which other operators may change."""
    editor.graph.tensors[to].isVariable = True
    once = editor.constant(np.ones(2, np.int32))
    kind = schema.BuiltinOptions.TileOptions
    return editor.operator(_BUILTIN.TILE, [source, once], [to], kind, schema.TileOptionsT())


def _simple_rnn(editor: SubgraphEditor, layer: RecurrentLayer, x: int, h: list[int], y: int) -> Any:
    options = schema.SequenceRNNOptionsT()
    options.timeMajor, options.fusedActivationFunction = False, _ACTIVATIONS[layer.activation]
    weights = [layer.kernel.T, layer.recurrent_kernel.T, _bias(layer)]
    inputs = [x, *map(editor.constant, weights), *h]
    kind = schema.BuiltinOptions.SequenceRNNOptions
    return editor.operator(_BUILTIN.UNIDIRECTIONAL_SEQUENCE_RNN, inputs, [y], kind, options)


def _lstm(editor: SubgraphEditor, layer: RecurrentLayer, x: int, states: list[int], y: int) -> Any:
    """Write an LSTM. The order of gates is i, f, g, o in both; there are no further options."""
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
            "E-MODEL-OPERATOR",
            f"TFLite's builtin operators cannot express {', '.join(foreign)}; change the"
            " layer, or try --to onnx",
        )
