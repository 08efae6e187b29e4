"""The vocabulary both halves speak: tensors, states, layers, entry points.

NumPy only. The Keras side fills these in, the bundle stores them, the runtimes obey them.

    TensorSpec      a named tensor; a str in its shape is a symbol such as "batch" or "time"
    StateSpec       the input a state enters by and the output it leaves by
    RecurrentLayer  one call of a recurrent layer, read from Keras, weights and all
    EntryPoint      one way to call the exported model: its inputs, outputs and states
    Support         yes, or no with the reason
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Dim = int | str
Array = NDArray[np.generic]
Role = Literal["h", "c"]
StateKey = tuple[str, Role]

SEQUENCE = "sequence"
STREAM = "stream"


@dataclass(frozen=True)
class Support:
    """Whether something can be done; a refusal carries its reason."""

    ok: bool
    reason: str = ""


@dataclass(frozen=True)
class TensorSpec:
    """A named tensor.

    shape: ints are fixed, strings are symbols; equal symbols of one call have equal sizes.
    dtype: NumPy's name of it.
    below: for token ids, the vocabulary size; ids lie in [-below, below) as Embedding takes them.
    padding: a step that holds this value and nothing else is masked.
    """

    name: str
    shape: tuple[Dim, ...]
    dtype: str
    below: int | None = None
    padding: float | None = None

    def admits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of `shape` has this rank and these fixed dimensions."""
        return len(shape) == len(self.shape) and all(
            isinstance(dim, str) or dim == size for dim, size in zip(self.shape, shape, strict=True)
        )

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}({', '.join(map(str, self.shape))})"


@dataclass(frozen=True)
class StateSpec:
    """A recurrent state (batch, units): it enters as `tensor.name` and leaves as `next_name`."""

    tensor: TensorSpec
    next_name: str
    layer: str
    role: Role

    @property
    def key(self) -> StateKey:
        """What it is a state of, whatever its names."""
        return self.layer, self.role

    @property
    def next_tensor(self) -> TensorSpec:
        return TensorSpec(self.next_name, self.tensor.shape, self.tensor.dtype)


@dataclass(frozen=True)
class EntryPoint:
    """One way to call the exported model.

    chunked: whether a sequence run in chunks, states carried, gives what the whole gives;
    measured on the float64 oracle, since layers beside the recurrent ones decide it too.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    states: tuple[StateSpec, ...] = ()
    chunked: Support = Support(False, "this entry point carries no state")

    @property
    def time_symbols(self) -> tuple[str, ...]:
        """The symbols that stand for a number of steps."""
        dims = (t.shape[1] for t in self.inputs if len(t.shape) > 1)
        return tuple(dict.fromkeys(dim for dim in dims if isinstance(dim, str)))

    @property
    def all_inputs(self) -> tuple[TensorSpec, ...]:
        return self.inputs + tuple(state.tensor for state in self.states)

    @property
    def all_outputs(self) -> tuple[TensorSpec, ...]:
        return self.outputs + tuple(state.next_tensor for state in self.states)


@dataclass(frozen=True, eq=False)
class RecurrentLayer:
    """One call of a recurrent layer, read from Keras.

    name: the Keras layer's name, made unique when a layer is called more than once.
    cell: "simple_rnn", "gru" or "lstm"; with g = 1, 3, 4 gates side by side in Keras' order:
    kernel (width, g * units), recurrent_kernel (units, g * units), bias (g * units,) or None; a
    GRU with reset_after has a bias (2, g * units), for the input and for the recurrent product.
    activation, recurrent_activation: Keras' names, as in `cells.ACTIVATIONS`; a SimpleRNN has no
    second one. reset_after: of a GRU, whether the reset gate is applied after the product.
    go_backwards: the sequence is processed, and returned, last step first.
    return_sequences: every step's output is returned, not only the last one's.
    masked: a mask (batch, time) says which steps count; at the others states stay, and the output
    is the one before, or zero with zero_output_for_mask.
    steps: how many steps the sequence has, None when that is open.
    initial_state: the model itself gives the initial state (so a stream may not).
    """

    name: str
    cell: str
    units: int
    kernel: NDArray[np.float32]
    recurrent_kernel: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    activation: str
    go_backwards: bool
    return_sequences: bool
    steps: int | None
    initial_state: bool
    recurrent_activation: str = "linear"
    reset_after: bool = False
    masked: bool = False
    zero_output_for_mask: bool = False

    @property
    def carries_output(self) -> bool:
        """Whether the output must be carried beside the states, since it may differ from h.

        At a masked step the output before it is repeated, which is h; except that it is zero
        where the layer says so, and, after an initial state that the model gives, until the first
        step that counts. A stream's state is the output of the steps before.
        """
        return self.masked and (self.zero_output_for_mask or self.initial_state)

    @property
    def roles(self) -> tuple[Role, ...]:
        """The states the cell carries, in Keras' order."""
        return ("h", "c") if self.cell == "lstm" else ("h",)

    @property
    def width(self) -> int:
        return int(self.kernel.shape[0])


# A list of cells in one RNN is a stack of layers; any other layer is a stack of one.
Stack = tuple[RecurrentLayer, ...]


def state_keys(stack: Stack) -> list[StateKey]:
    """The states of a stack, in the order Keras keeps them."""
    return [(layer.name, role) for layer in stack for role in layer.roles]
