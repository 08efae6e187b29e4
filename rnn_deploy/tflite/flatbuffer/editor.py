"""Add tensors, constants and operators to one subgraph of a TFLite model's object form."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_deploy.keras.compat import schema
from rnn_deploy.spec import Array

_TYPES = {
    "float32": schema.TensorType.FLOAT32, "float16": schema.TensorType.FLOAT16,
    "int8": schema.TensorType.INT8, "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "bool": schema.TensorType.BOOL,
}  # fmt: skip


@dataclass(frozen=True)
class SubgraphEditor:
    """Adds tensors and operators to one subgraph of a model."""

    model: Any
    graph: Any

    def custom(self, operator: Any) -> str:
        """Return the name of a custom operator, empty for a builtin one."""
        code = self.model.operatorCodes[operator.opcodeIndex].customCode
        return code.decode() if code else ""

    def constant(self, value: Array) -> int:
        """Add a constant tensor, of one of the types below; return its index."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        return self.tensor(list(value.shape), len(self.model.buffers) - 1, value.dtype.name)

    def tensor(self, shape: list[int], buffer: int = 0, dtype: str = "float32") -> int:
        """Add a tensor; -1 in its shape is an open dimension. Return its index."""
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.buffer = b"", _TYPES[dtype], buffer
        self.graph.tensors.append(tensor)
        self.shape(len(self.graph.tensors) - 1, shape)
        return len(self.graph.tensors) - 1

    def shape(self, index: int, shape: list[int]) -> None:
        """Set the shape of a tensor."""
        tensor = self.graph.tensors[index]
        tensor.shape = np.array([max(dim, 1) for dim in shape], np.int32)
        if -1 in shape:
            tensor.shapeSignature = np.array(shape, np.int32)

    def operator(
        self,
        code: int,
        inputs: list[int],
        outputs: list[int],
        kind: int,
        options: Any,
        version: int = 1,
    ) -> Any:
        """Return a builtin operator with its options."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self.code(code, version)
        operator.inputs, operator.outputs = (np.array(i, np.int32) for i in (inputs, outputs))
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        return operator

    def code(self, code: int, version: int = 1) -> int:
        """Add the code of an operator to the model; return its index."""
        entry = schema.OperatorCodeT()
        entry.builtinCode, entry.deprecatedBuiltinCode = code, min(code, 127)
        entry.version = version
        self.model.operatorCodes.append(entry)
        return len(self.model.operatorCodes) - 1
