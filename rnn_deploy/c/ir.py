"""A model as typed nodes: what one step computes, in the order in which it is computed.

A value is a tensor of one sequence. It has a size for each step, or it has no time: then it comes
from an input without time, or from the last step of a recurrent layer.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rnn_deploy.spec import RecurrentLayer

Float = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Value:
    """One tensor of a sequence.

    size: elements, of one step if it has time. time: the symbol of its number of steps, None
    without time. dtype: NumPy's name; "bool" for masks.
    """

    name: str
    size: int
    time: str | None
    dtype: str = "float32"


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """What one layer or operation computes. layer: the name that errors and comments use."""

    layer: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]

    @property
    def x(self) -> Value:
        return self.inputs[0]

    @property
    def y(self) -> Value:
        return self.outputs[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class CellNode(Node):
    """A recurrent layer: inputs are x, then `mask` and `initial` where they are there.

    outputs: the layer's output, then its final states where the model uses them. states: all of
    them, in the order of the cell's roles. aligned: a backward layer whose outputs are put back
    in the order of the sequence, as Bidirectional does.
    """

    cell: RecurrentLayer
    mask: Value | None = None
    initial: tuple[Value, ...] = ()
    aligned: bool = False

    @property
    def reverse(self) -> bool:
        return self.cell.go_backwards


@dataclass(frozen=True, eq=False, kw_only=True)
class DenseNode(Node):
    """x W + b, and an activation by its name in `numerics.cells.ACTIVATIONS`, or "softmax"."""

    kernel: Float
    bias: Float | None
    activation: str


@dataclass(frozen=True, eq=False, kw_only=True)
class LookupNode(Node):
    """Rows of a table by token id."""

    table: Float


@dataclass(frozen=True, eq=False, kw_only=True)
class ActivationNode(Node):
    """An activation by its name, or "softmax"; `slope`: of each negative element (LeakyReLU)."""

    activation: str
    slope: Float | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class NormaliseNode(Node):
    """Layer normalisation over the features."""

    gamma: Float | None
    beta: Float | None
    epsilon: float


@dataclass(frozen=True, eq=False, kw_only=True)
class ScaleNode(Node):
    """x * scale + offset, element by element: batch normalisation with its moving moments."""

    scale: Float
    offset: Float


@dataclass(frozen=True, eq=False, kw_only=True)
class ConvNode(Node):
    """A causal convolution over time: kernel (taps, in, out), the newest step last."""

    kernel: Float
    bias: Float | None
    activation: str
    dilation: int

    @property
    def past(self) -> int:
        """How many steps before the present one it reads."""
        return (len(self.kernel) - 1) * self.dilation


@dataclass(frozen=True, eq=False, kw_only=True)
class MergeNode(Node):
    """Values put together: concat, add, multiply, average, subtract, maximum or minimum.

    With `constant` there is one input, and the constant is the other: (constant first) or last.
    """

    kind: str
    constant: Float | None = None
    constant_first: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class SliceNode(Node):
    """Some features: count elements from `start`, `step` apart."""

    start: int
    step: int


@dataclass(frozen=True, eq=False, kw_only=True)
class DiffersNode(Node):
    """A mask: whether any element of a step differs from `value`."""

    value: float


@dataclass(frozen=True, eq=False, kw_only=True)
class AllMasksNode(Node):
    """A mask: whether all (or, with `any`, one) of several masks say that a step counts."""

    any: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class KeepNode(Node):
    """x where it differs from `value` in any element, 0 elsewhere: what Masking returns."""

    value: float


MASK_NODES = (DiffersNode, AllMasksNode)


@dataclass(frozen=True, eq=False)
class Program:
    """A model: its inputs and outputs in the order of the entry point, its nodes in order.

    notes: what a user must know.
    """

    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[tuple[str, Value], ...]
    nodes: tuple[Node, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def cells(self) -> tuple[CellNode, ...]:
        return tuple(node for node in self.nodes if isinstance(node, CellNode))

    @property
    def free_cells(self) -> tuple[CellNode, ...]:
        """The cells whose initial state is the caller's."""
        return tuple(node for node in self.cells if not node.initial)


def used_nodes(nodes: tuple[Node, ...], outputs: tuple[Value, ...]) -> tuple[Node, ...]:
    """Return the nodes that an output depends on."""
    return tuple(reversed(list(_behind(nodes, {id(value) for value in outputs}))))


def _behind(nodes: tuple[Node, ...], wanted: set[int]) -> Iterator[Node]:
    for node in reversed(nodes):
        if any(id(value) in wanted for value in node.outputs):
            wanted |= {id(value) for value in node.inputs}
            yield node
