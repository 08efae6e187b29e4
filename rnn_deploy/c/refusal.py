"""For reading a graph: one call of an operation, the nodes so far, and refusals."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rnn_deploy.c.ir import Node, Value

# A call of a layer: the names from the model to the layer, and the number of earlier calls.
Place = tuple[tuple[str, ...], int]


@dataclass(frozen=True)
class NotWritten:
    """The reason why one layer, input or output cannot be written in C, and advice."""

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
        """Return the values among the arguments, in order."""
        return [value for value in _flat([self.args, self.kwargs]) if isinstance(value, Value)]

    @property
    def x(self) -> Value:
        """Return the first argument if it is a float32 value; raise NotInCError otherwise."""
        return float_value(self.args[0] if self.args else None)

    def given(self, index: int, name: str) -> Any:
        """Return an argument by its place or its name, None if it is not given."""
        return self.args[index] if index < len(self.args) else self.kwargs.get(name)


@dataclass
class Graph:
    """The nodes that were read so far, and facts about them.

    names: those of recurrent calls, used and unused. made, masks: the values that each call of a
    layer returned, and the mask of the first. symbolic_masks: Keras' tensors of these masks.
    counts: the calls so far. stored: masks that are kept for every step, by the mask's id.
    """

    nodes: list[Node] = field(default_factory=list)
    refusals: list[NotWritten] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    made: dict[Place, Sequence[Any]] = field(default_factory=dict)
    masks: dict[Place, Any] = field(default_factory=dict)
    symbolic_masks: list[tuple[Place, Any]] = field(default_factory=list)
    counts: Counter[tuple[str, ...]] = field(default_factory=Counter)
    stored: dict[int, Value] = field(default_factory=dict)

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
    if given.over is not None:
        raise NotInCError("is applied to attention scores, whose number of features is open")
    return given


def _flat(structure: Any) -> list[Any]:
    if isinstance(structure, dict):
        structure = list(structure.values())
    if isinstance(structure, list | tuple):
        return [leaf for part in structure for leaf in _flat(part)]
    return [structure]
