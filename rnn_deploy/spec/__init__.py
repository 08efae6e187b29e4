"""The vocabulary both halves speak: tensors, states, layers, entry points.

NumPy only. The Keras side fills these in, the bundle stores them, the runtimes obey them.

    TensorSpec      a named tensor; a str in its shape is a symbol such as "batch" or "time"
    StateSpec       the input a state enters by and the output it leaves by
    RecurrentLayer  one call of a recurrent layer, read from Keras, weights and all
    TracedLayer     the same for a cell that is known by its traced step alone
    Pair            one call of a Bidirectional layer: two stacks of such layers
    EntryPoint      one way to call the exported model: its inputs, outputs and states
    Support         yes, or no with the reason
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Dim = int | str
Array = NDArray[np.generic]
Weights = NDArray[np.floating[Any]]
Role = str
StateKey = tuple[str, Role]

SEQUENCE = "sequence"
STREAM = "stream"
STEP = "step"  # the stream at one step, where a file has a form of its own for it
ROLES = ("h", "c")


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

    chunked: whether a sequence run in chunks, states carried, gives what the whole gives.
    rows: whether a sequence alone gives what it gives in a batch. Both are measured on the float64
    oracle, since layers beside the recurrent ones decide them too.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    states: tuple[StateSpec, ...] = ()
    chunked: Support = Support(False, "this entry point carries no state")
    rows: Support = Support(False, "whether its rows stand alone was not measured")

    @property
    def time_symbols(self) -> tuple[str, ...]:
        """The symbols that stand for a number of steps."""
        dims = (t.shape[1] for t in self.inputs if len(t.shape) > 1)
        return tuple(dict.fromkeys(dim for dim in dims if isinstance(dim, str)))

    @property
    def timed(self) -> str:
        """The input whose axis 1 says how many steps a call has: not always the first, which may
        hold what does not change in time. The first where no number of steps is open."""
        symbols = self.time_symbols[:1]
        timed = [t.name for t in self.inputs if symbols and t.shape[1:2] == symbols]
        return (timed or [self.inputs[0].name])[0]

    @property
    def of_whole_batch(self) -> tuple[str, ...]:
        """The outputs whose first axis is not the batch, so that rows are no sequences' own."""
        batch = self.inputs[0].shape[:1]
        return tuple(tensor.name for tensor in self.outputs if tensor.shape[:1] != batch)

    @property
    def why_one_batch(self) -> str | None:
        """Why its batch cannot be cut into sequences and joined again; None where it can."""
        fixed = [tensor.name for tensor in self.all_inputs if isinstance(tensor.shape[0], int)]
        if fixed:
            return f"input '{fixed[0]}' has a fixed batch"
        if self.of_whole_batch:
            return f"output '{self.of_whole_batch[0]}' has no row for each sequence"
        return None if self.rows.ok else self.rows.reason

    @property
    def all_inputs(self) -> tuple[TensorSpec, ...]:
        return self.inputs + tuple(state.tensor for state in self.states)

    @property
    def all_outputs(self) -> tuple[TensorSpec, ...]:
        return self.outputs + tuple(state.next_tensor for state in self.states)


def one_step(stream: EntryPoint) -> EntryPoint:
    """The entry point `step`: the stream with the one symbol of its time fixed at 1."""
    (time,) = stream.time_symbols

    def fixed(tensor: TensorSpec) -> TensorSpec:
        return replace(tensor, shape=tuple(1 if dim == time else dim for dim in tensor.shape))

    inputs, outputs = (tuple(map(fixed, ts)) for ts in (stream.inputs, stream.outputs))
    return replace(stream, name=STEP, inputs=inputs, outputs=outputs)


@dataclass(frozen=True, eq=False, kw_only=True)
class Recurrence:
    """One call of a recurrent layer, whatever its cell.

    name: the Keras layer's name, made unique when a layer is called more than once.
    cell: what the cell is called. units: the size of the output's last axis.
    go_backwards: the sequence is processed, and returned, last step first.
    return_sequences: every step's output is returned, not only the last one's.
    masked: a mask (batch, time) says which steps count; at the others states stay, and the output
    is the one before, or zero with zero_output_for_mask.
    steps: how many steps the sequence has, None when that is open.
    initial_state: the model itself gives the initial state (so a stream may not).
    within_step: it runs anew within each step of a TimeDistributed, from zero (nor may a stream).
    """

    name: str
    cell: str
    units: int
    go_backwards: bool
    return_sequences: bool
    steps: int | None
    initial_state: bool
    masked: bool = False
    zero_output_for_mask: bool = False
    within_step: bool = False

    @property
    def roles(self) -> tuple[Role, ...]:
        """The states the cell carries, in Keras' order."""
        return roles_of(len(self.state_shapes))

    @property
    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each state, without its batch."""
        raise NotImplementedError

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of one step's output, without its batch."""
        raise NotImplementedError

    @property
    def dtype(self) -> np.dtype[np.floating[Any]]:
        """What it computes in: float32, or float64 where the model does."""
        raise NotImplementedError

    @property
    def output_is_state(self) -> bool:
        """Whether a step's output is its first state."""
        raise NotImplementedError

    @property
    def carries_output(self) -> bool:
        """Whether the output must be carried beside the states, since it may differ from h.

        At a masked step the output before it is repeated, which is h; except that it is zero
        where the layer says so, and, after an initial state that the model gives, until the first
        step that counts. A stream's state is the output of the steps before.
        """
        same = self.output_is_state and not self.zero_output_for_mask and not self.initial_state
        return self.masked and not same

    @property
    def free(self) -> bool:
        """Whether a stream gives the initial state."""
        return not self.initial_state and not self.within_step


@dataclass(frozen=True, eq=False, kw_only=True)
class RecurrentLayer(Recurrence):
    """A layer with one of Keras' own cells, read: its weights and its options.

    cell: "simple_rnn", "gru" or "lstm"; with g = 1, 3, 4 gates side by side in Keras' order:
    kernel (width, g * units), recurrent_kernel (units, g * units), bias (g * units,) or None; a
    GRU with reset_after has a bias (2, g * units), for the input and for the recurrent product.
    activation, recurrent_activation: Keras' names, as in `cells.ACTIVATIONS`; a SimpleRNN has no
    second one. reset_after: of a GRU, whether the reset gate is applied after the product.
    """

    kernel: Weights
    recurrent_kernel: Weights
    bias: Weights | None
    activation: str
    recurrent_activation: str = "linear"
    reset_after: bool = False

    @property
    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.units,),) * (2 if self.cell == "lstm" else 1)

    @property
    def output_shape(self) -> tuple[int, ...]:
        return (self.units,)

    @property
    def dtype(self) -> np.dtype[np.floating[Any]]:
        return self.kernel.dtype

    @property
    def output_is_state(self) -> bool:
        return True

    @property
    def width(self) -> int:
        return int(self.kernel.shape[0])


@dataclass(frozen=True, eq=False, kw_only=True)
class TracedLayer(Recurrence):
    """A layer whose cell is known by its step alone: a cell of the user's own, a ConvLSTM.

    cell: the name of the cell's class. step: the traced function of x (batch, *width) and the
    states (batch, *state shape) to the output and the next states, weights within.
    """

    step: Any
    width: tuple[int, ...]
    state_shapes: tuple[tuple[int, ...], ...] = field(default=())
    output_shape: tuple[int, ...] = field(default=())
    dtype: np.dtype[np.floating[Any]] = field(default=np.dtype(np.float32))
    output_is_state: bool = False


# A list of cells in one RNN is a stack of layers; any other layer is a stack of one.
Stack = tuple[Recurrence, ...]


@dataclass(frozen=True, eq=False)
class Pair:
    """One call of a Bidirectional layer `name`: two stacks over one sequence.

    The backward one's outputs are turned back into the order of the sequence. merge: Keras'
    merge_mode, None for both outputs.
    """

    name: str
    forward: Stack
    backward: Stack
    merge: str | None


# What one call of a recurrent layer runs.
Called = Stack | Pair


def roles_of(count: int) -> tuple[Role, ...]:
    """What the states of a cell that has `count` of them are called."""
    return tuple(ROLES[i] if i < len(ROLES) else f"s{i}" for i in range(count))


def layers_of(called: Called) -> Stack:
    """The layers of a call, in the order of their states."""
    return (*called.forward, *called.backward) if isinstance(called, Pair) else called


def state_keys(stack: Stack) -> list[StateKey]:
    """The states of a stack, in the order Keras keeps them."""
    return [(layer.name, role) for layer in stack for role in layer.roles]
