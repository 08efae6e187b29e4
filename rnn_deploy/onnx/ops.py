"""Write ONNX nodes in order, with names that begin with their layer."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.tape import Tape

DType = np.dtype[np.floating[Any]]
SINGLE = np.dtype(np.float32)


@dataclass(frozen=True)
class LoweredLayer:
    """A lowered layer: the output of the Keras layer, and its final states (batch, units)."""

    output: ir.Value
    states: tuple[ir.Value, ...]


class NodeWriter:
    """Writes nodes; all names begin with `prefix`, and constants have the type `dtype`."""

    def __init__(self, prefix: str, dtype: DType = SINGLE) -> None:
        self.dtype = dtype
        self._prefix = prefix
        self._tape = Tape()
        self._taken: list[ir.Node] = []
        self._count: Counter[str] = Counter()

    @property
    def nodes(self) -> Sequence[ir.Node]:
        """Return all nodes; those of `take_in` are last, so sort them."""
        return (*self._tape.nodes, *self._taken)

    @property
    def initializers(self) -> Sequence[ir.Value]:
        return self._tape.initializers

    def __call__(self, op_type: str, *inputs: ir.Value | None, **attributes: Any) -> ir.Value:
        """Write a node with one output."""
        return self.outputs(op_type, 1, *inputs, **attributes)[0]

    def outputs(
        self, op_type: str, count: int, *inputs: ir.Value | None, **attributes: Any
    ) -> Sequence[ir.Value]:
        """Write a node with `count` outputs."""
        name = self._name(op_type)
        values = [ir.Value(name=f"{name}:{i}") for i in range(count)]
        return self._tape.op_multi_out(op_type, inputs, attributes, outputs=values, name=name)

    def constant(self, name: str, value: NDArray[Any]) -> ir.Value:
        """Write an initializer."""
        full = self._name(name)
        return self._tape.initializer(ir.tensor(value, name=full), name=full)

    def scalar(self, name: str, value: float) -> ir.Value:
        """Write an initializer of one number."""
        return self.constant(name, np.array(value, self.dtype))

    def take_in(self, graph: ir.Graph, inputs: Sequence[ir.Value]) -> list[ir.Value]:
        """Write the nodes of `graph` with `inputs` in place of its own; return its outputs.

        The graph cannot be used afterwards.
        """
        for own, value in zip(graph.inputs, inputs, strict=True):
            own.replace_all_uses_with(value, replace_graph_outputs=True)
        outputs, nodes = list(graph.outputs), list(graph)
        graph.outputs.clear()
        graph.remove(nodes)
        for node in nodes:
            node.name = self._name(node.op_type)
            for i, value in enumerate(node.outputs):
                value.name = f"{node.name}:{i}"
        self._taken += nodes
        return outputs

    def _name(self, name: str) -> str:
        count = self._count[name]
        self._count[name] += 1
        return f"{self._prefix}/{name}" + (f"_{count}" if count else "")


def flip(ops: NodeWriter, x: ir.Value, axis: int) -> ir.Value:
    """Reverse x along an axis. (OpenVINO turns an end of -(2**62) into a negative length.)"""
    start, end, axes, step = (
        ops.constant(name, np.array([value], np.int64))
        for name, value in (("last", -1), ("before", -(2**31)), ("axis", axis), ("back", -1))
    )
    return ops("Slice", x, start, end, axes, step)
