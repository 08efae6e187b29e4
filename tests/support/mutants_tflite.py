"""Faults planted in one signature of a TFLite file of the gated model.

FAULTS[name](Mutant(file, signature), gated) -> whether the fault could be planted
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from rnn_deploy.verifying.diagnose.inner_tflite import packed

CODE, OPTIONS, TYPE = schema.BuiltinOperator, schema.BuiltinOptions, schema.TensorType
TYPES = {np.dtype(n): getattr(TYPE, n.upper()) for n in ("float16", "float32", "int32", "bool")}


class Mutant:
    """A file, to be changed where one signature runs and nowhere else."""

    def __init__(self, content: bytes, signature: str) -> None:
        self.model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
        self.signature = self._signature(signature)
        self.graph = self.model.subgraphs[self.signature.subgraphIndex]
        others = (s for s in self.model.signatureDefs if s is not self.signature)
        elsewhere = [self._reached(s.subgraphIndex) for s in others]
        reached = self._reached(self.signature.subgraphIndex)
        assert not set(reached).intersection(*[set().union(*elsewhere)] if elsewhere else [])
        self.graphs = [self.model.subgraphs[index] for index in reached]

    @property
    def content(self) -> bytes:
        return packed(self.model)

    def _signature(self, key):
        return next(s for s in self.model.signatureDefs if s.signatureKey == key.encode())

    def _reached(self, index):
        found = [index]
        for operator in self.model.subgraphs[index].operators:
            if isinstance(operator.builtinOptions, schema.WhileOptionsT):
                options = operator.builtinOptions
                for inner in (options.condSubgraphIndex, options.bodySubgraphIndex):
                    found += [i for i in self._reached(inner) if i not in found]
        return found

    def weights(self, old, change) -> bool:
        """Change every constant that is `old` (of any shape of the same bytes)."""
        wanted, found = np.ascontiguousarray(old, np.float32).tobytes(), False
        for graph in self.graphs:
            for tensor in graph.tensors:
                data = self.model.buffers[tensor.buffer].data
                if data is not None and bytes(data) == wanted:
                    tensor.buffer = self._buffer(change(old.astype(np.float32).copy()))
                    found = True
        return found

    def codes(self, old, new, pick=lambda operators: operators) -> bool:
        """Give operators of one code another."""
        found = [
            operator
            for graph in self.graphs
            for operator in graph.operators
            if self._code(operator) == old
        ]
        for operator in pick(found):
            operator.opcodeIndex = self._opcode(new)
            operator.builtinOptionsType, operator.builtinOptions = 0, None
        return bool(found)

    def input(self, name):
        """The tensor that an input of the signature enters by, None if there is none."""
        return next((t.tensorIndex for t in self.signature.inputs if t.name == name.encode()), None)

    def output(self, name):
        """Return an output of the signature, None if there is none."""
        return next((t for t in self.signature.outputs if t.name == name.encode()), None)

    def mask(self):
        """The tensor (batch, time) that says which steps count."""
        return next(
            int(op.outputs[0])
            for op in self.graph.operators
            if self._code(op) == CODE.REDUCE_ANY
            and len(self.graph.tensors[op.outputs[0]].shape) == 2
        )

    def constant(self, value):
        value = np.asarray(value)
        return self._tensor(list(value.shape), value.dtype, self._buffer(value))

    def behind(self, tensor, build):
        """Let all that reads a tensor, the signature too, read what `build` makes of it.

        build: from an `add(code, inputs, shape, dtype, options)` and the tensor to another.
        """
        added = []

        def add(code, inputs, shape, dtype="float32", options=None):
            made = self._tensor(shape, np.dtype(dtype))
            operator = schema.OperatorT()
            operator.opcodeIndex = self._opcode(code)
            operator.inputs = np.array(inputs, np.int32)
            operator.outputs = np.array([made], np.int32)
            if options is not None:
                kind = type(options).__name__.removesuffix("T")
                operator.builtinOptionsType = getattr(OPTIONS, kind)
                operator.builtinOptions = options
            added.append(operator)
            return made

        at = [i + 1 for i, op in enumerate(self.graph.operators) if tensor in op.outputs]
        result = build(add, tensor)
        for operator in self.graph.operators:
            operator.inputs = np.where(np.equal(operator.inputs, tensor), result, operator.inputs)
        self.graph.outputs = np.where(
            np.equal(self.graph.outputs, tensor), result, self.graph.outputs
        )
        for told in self.signature.outputs:
            if told.tensorIndex == tensor:
                told.tensorIndex = result
        where = at[0] if at else 0
        self.graph.operators[where:where] = added
        return True

    def shape_of(self, tensor):
        found = self.graph.tensors[tensor]
        return list(found.shape if found.shapeSignature is None else found.shapeSignature)

    def _code(self, operator):
        code = self.model.operatorCodes[operator.opcodeIndex]
        return max(code.builtinCode, code.deprecatedBuiltinCode)

    def _opcode(self, code):
        entry = schema.OperatorCodeT()
        entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 1
        self.model.operatorCodes.append(entry)
        return len(self.model.operatorCodes) - 1

    def _buffer(self, value):
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def _tensor(self, shape, dtype, buffer=0):
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.buffer = b"", TYPES[np.dtype(dtype)], buffer
        tensor.shape = np.array([max(int(dim), 1) for dim in shape], np.int32)
        if -1 in shape:
            tensor.shapeSignature = np.array(shape, np.int32)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1


def element(layer, array):
    """One weight 1% larger: the one of middling size."""

    def larger(value):
        order = np.argsort(np.abs(value), axis=None)
        value.flat[order[len(order) // 2]] *= np.float32(1.01)
        return value

    return lambda m, g: m.weights(_weights(g, layer)[array], larger)


def _weights(gated, layer):
    """A layer's weights as they lie in the file, gates below each other."""
    if layer == "y":
        return {"kernel": gated.dense[0].T}
    read = getattr(gated, layer)
    return {"kernel": read.kernel.T, "recurrent_kernel": read.recurrent_kernel.T, "bias": read.bias}


def swapped_gates(m, g):
    def swap(value):
        return np.concatenate([np.split(value, 4)[k] for k in (1, 0, 2, 3)])

    found = [m.weights(value, swap) for value in _weights(g, "lstm").values()]
    return all(found)


def transposed(m, g):
    def turn(value):
        return np.concatenate([part.T for part in np.split(value, 4)])

    return m.weights(_weights(g, "lstm")["recurrent_kernel"], turn)


def no_bias(m, g):
    return m.weights(_weights(g, "lstm")["bias"], np.zeros_like)


def in_half_precision(m, g):
    kernel = _weights(g, "lstm")["kernel"]
    return m.weights(kernel, lambda v: v.astype(np.float16).astype(np.float32))


def arithmetic(name, *ops):
    """An input or output behind (code, constant) one after the other."""

    def plant(m, g):
        told = m.output(name)
        tensor = m.input(name) if told is None else told.tensorIndex
        if tensor is None:
            return False

        def build(add, value):
            for code, constant in ops:
                constant = m.constant(np.float32(constant))
                value = add(code, [value, constant], m.shape_of(tensor), options=_PLAIN[code]())
            return value

        return m.behind(tensor, build)

    return plant


_PLAIN = {
    CODE.MUL: schema.MulOptionsT,
    CODE.MINIMUM: schema.MaximumMinimumOptionsT,
    CODE.MAXIMUM: schema.MaximumMinimumOptionsT,
}


def cut(name, most):
    return arithmetic(name, (CODE.MINIMUM, most), (CODE.MAXIMUM, -most))


def backwards(m, g):
    """Time runs the other way."""
    if m.signature.signatureKey == b"step":
        return False

    def build(add, x):
        axis = m.constant(np.array([1], np.int32))
        return add(CODE.REVERSE_V2, [x, axis], m.shape_of(x), options=schema.ReverseV2OptionsT())

    return m.behind(m.input("x"), build)


def late(m, g):
    """Every step sees the input of the step before it; the first its own."""
    if m.signature.signatureKey == b"step":
        return False

    def build(add, x):
        front = m.constant(np.array([[0, 0], [1, 0], [0, 0]], np.int32))
        mirrored = schema.MirrorPadOptionsT()
        mirrored.mode = schema.MirrorPadMode.SYMMETRIC
        longer = add(CODE.MIRROR_PAD, [x, front], m.shape_of(x), options=mirrored)
        shape = add(CODE.SHAPE, [x], [3], "int32", _shape_options())
        begin = m.constant(np.zeros(3, np.int32))
        return add(
            CODE.SLICE, [longer, begin, shape], m.shape_of(x), options=schema.SliceOptionsT()
        )

    return m.behind(m.input("x"), build)


def mask_or(axis=None, index=0):
    """The mask, true besides at an index of an axis, or everywhere."""

    def plant(m, g):
        def build(add, mask):
            here = m.constant(np.array(True))
            if axis is not None:
                here = _at(m, add, mask, axis, index)
            options = schema.LogicalOrOptionsT()
            return add(CODE.LOGICAL_OR, [mask, here], m.shape_of(mask), "bool", options)

        return m.behind(m.mask(), build)

    return plant


def _at(m, add, tensor, axis, index):
    """Where an axis of a tensor (batch, time) is at an index, from its end if negative."""
    shape = add(CODE.SHAPE, [tensor], [2], "int32", _shape_options())
    which = m.constant(np.array(axis, np.int32))
    size = add(CODE.GATHER, [shape, which], [], "int32", schema.GatherOptionsT())
    zero, one = m.constant(np.array(0, np.int32)), m.constant(np.array(1, np.int32))
    places = add(CODE.RANGE, [zero, size, one], [-1], "int32", schema.RangeOptionsT())
    wanted = m.constant(np.array(index, np.int32))
    if index < 0:
        wanted = add(CODE.ADD, [size, wanted], [], "int32", schema.AddOptionsT())
    here = add(CODE.EQUAL, [places, wanted], [-1], "bool", schema.EqualOptionsT())
    other = m.constant(np.array(1 - axis, np.int32))
    shape = [1, -1] if axis else [-1, 1]
    return add(CODE.EXPAND_DIMS, [here, other], shape, "bool", schema.ExpandDimsOptionsT())


def _shape_options():
    options = schema.ShapeOptionsT()
    options.outType = TYPE.INT32
    return options


def exchanged(a, b):
    """Two outputs of the signature leave in each other's place."""

    def plant(m, g):
        first, second = m.output(a), m.output(b)
        if first is None or second is None:
            return False
        first.name, second.name = second.name, first.name
        return True

    return plant


def entering_exchanged(m, g):
    names = {b"lstm_h_in": b"lstm_c_in", b"lstm_c_in": b"lstm_h_in"}
    for told in m.signature.inputs:
        told.name = names.get(told.name, told.name)
    return m.input("lstm_h_in") is not None


def stale(entering, leaving):
    """A state leaves as it came in; what else reads it reads the right one."""

    def plant(m, g):
        came, told = m.input(entering), m.output(leaving)
        if came is None or told is None:
            return False
        outputs = list(m.graph.outputs)
        outputs[outputs.index(told.tensorIndex)] = came
        m.graph.outputs, told.tensorIndex = outputs, came
        return True

    return plant


FAULTS = {
    "an element of the input kernel +1%": element("lstm", "kernel"),
    "an element of the recurrent kernel +1%": element("lstm", "recurrent_kernel"),
    "an element of the other layer's recurrent kernel +1%": element("gru", "recurrent_kernel"),
    "an element of the dense kernel +1%": element("y", "kernel"),
    "gates i and f swapped": swapped_gates,
    "recurrent kernel transposed": transposed,
    "bias dropped": no_bias,
    "weights in float16": in_half_precision,
    "tanh replaced by sigmoid": lambda m, g: m.codes(CODE.TANH, CODE.LOGISTIC),
    "tanh replaced by sigmoid at one step of a turn": (
        lambda m, g: m.codes(CODE.TANH, CODE.LOGISTIC, lambda found: found[-1:])
    ),
    "direction flipped": backwards,
    "mask ignored": mask_or(),
    "mask ignored in row 5": mask_or(0, 5),
    "mask ignored in row 16": mask_or(0, 16),
    "mask ignored at the last step": mask_or(1, -1),
    "inputs a step late": late,
    "h and c leave exchanged": exchanged("lstm_h_out", "lstm_c_out"),
    "h and c enter exchanged": entering_exchanged,
    "h leaves as it came": stale("lstm_h_in", "lstm_h_out"),
    "c leaves as it came": stale("lstm_c_in", "lstm_c_out"),
    "initial h zeroed": arithmetic("lstm_h_in", (CODE.MUL, 0.0)),
    "initial c zeroed": arithmetic("lstm_c_in", (CODE.MUL, 0.0)),
    "the first layer's initial h zeroed": arithmetic("gru_h_in", (CODE.MUL, 0.0)),
    "c clipped at 3 on its way in": cut("lstm_c_in", 3.0),
    "c clipped at 3 on its way out": cut("lstm_c_out", 3.0),
    "h clipped at 1 on its way in": cut("lstm_h_in", 1.0),
    "c scaled by 1.0001": arithmetic("lstm_c_out", (CODE.MUL, 1.0001)),
    "output scaled by 1.0001": arithmetic("y", (CODE.MUL, 1.0001)),
    "output clipped at 1.5": cut("y", 1.5),
}
