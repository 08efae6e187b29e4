"""What reading a graph needs: one call of an operation, the nodes so far, and how to refuse."""

from dataclasses import dataclass, field
from typing import Any

from rnn_deploy.c.ir import Node, Value


@dataclass(frozen=True)
class NotWritten:
    """Why one layer, input or output cannot be written in C, and what to do about it."""

    name: str
    reason: str
    advice: str = "change the layer, or try --to onnx"

    def __str__(self) -> str:
        return f"'{self.name}' {self.reason}; {self.advice}"


class NotInCError(Exception):
    """One layer that the C target does not write: a reason, and what to do (or the usual)."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.reason, self.advice = reason, advice

    def about(self, name: str) -> NotWritten:
        """Return the refusal of the layer that this was raised for."""
        if not self.advice:
            return NotWritten(name, self.reason)
        return NotWritten(name, self.reason, self.advice)


@dataclass(frozen=True)
class OpCall:
    """One call of a layer or operation in the graph.

    args, kwargs: Keras tensors replaced by values; a mask that is the same for every step is True
    or False. shapes: of the outputs, as Keras has them.
    """

    op: Any
    args: list[Any]
    kwargs: dict[str, Any]
    shapes: list[tuple[int | None, ...]]

    @property
    def name(self) -> str:
        return str(self.op.name)

    @property
    def values(self) -> list[Any]:
        """The values among the arguments, in order."""
        return [value for value in _flat([self.args, self.kwargs]) if isinstance(value, Value)]

    @property
    def x(self) -> Value:
        """The first argument, if it is a float32 value; raise NotInCError otherwise."""
        return float_value(self.args[0] if self.args else None)

    def given(self, index: int, name: str) -> Any:
        """Return an argument by its place or its name, None if it is not given."""
        return self.args[index] if index < len(self.args) else self.kwargs.get(name)


@dataclass
class Graph:
    """What was read so far. names: those of recurrent calls, used and unused."""

    nodes: list[Node] = field(default_factory=list)
    refusals: list[NotWritten] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def add(self, node: Node) -> tuple[Value, ...]:
        """Add a node and return its outputs."""
        self.nodes.append(node)
        return node.outputs


def float_value(given: Any) -> Value:
    """Return a float32 value; raise NotInCError for anything else."""
    if not isinstance(given, Value):
        raise NotInCError("is applied to a value that is not a tensor of the model")
    if given.dtype != "float32":
        raise NotInCError(f"is applied to {given.dtype} values, expected float32")
    return given


def _flat(structure: Any) -> list[Any]:
    if isinstance(structure, dict):
        structure = list(structure.values())
    if isinstance(structure, list | tuple):
        return [leaf for part in structure for leaf in _flat(part)]
    return [structure]
