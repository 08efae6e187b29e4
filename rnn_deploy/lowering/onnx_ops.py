"""How a lowering writes ONNX nodes: named after their layer, in order, onto a tape."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape


@dataclass(frozen=True)
class Lowered:
    """A lowered layer: what the Keras layer returns first, and its final states (batch, units)."""

    output: ir.Value
    states: tuple[ir.Value, ...]


class Ops:
    """Writes nodes whose names and values begin with `prefix`."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._tape = Tape()
        self._count: Counter[str] = Counter()

    @property
    def nodes(self) -> Sequence[ir.Node]:
        return self._tape.nodes

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

    def constant(self, name: str, value: np.ndarray[Any, Any]) -> ir.Value:
        """Write an initializer."""
        full = self._name(name)
        return self._tape.initializer(ir.tensor(value, name=full), name=full)

    def _name(self, name: str) -> str:
        count = self._count[name]
        self._count[name] += 1
        return f"{self._prefix}/{name}" + (f"_{count}" if count else "")


def flip(ops: Ops, x: ir.Value, axis: int) -> ir.Value:
    """x backwards along an axis."""
    start, end, axes, step = (
        ops.constant(name, np.array([value], np.int64))
        for name, value in (("last", -1), ("before", -(2**62)), ("axis", axis), ("back", -1))
    )
    return ops("Slice", x, start, end, axes, step)
