"""Recurrent layers as they were read from Keras.

RecurrentLayer       one call of a layer with one of Keras' own cells, weights included
TracedLayer          one call of a layer of which only the traced step of its cell is known
BidirectionalLayers  one call of a Bidirectional layer: two stacks of such layers
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnn_deploy.spec.types import Role, StateKey, Weights

ROLES = ("h", "c")


@dataclass(frozen=True, eq=False, kw_only=True)
class Recurrence:
    """One call of a recurrent layer with any cell.

    name: the Keras layer's name, made unique if a layer is called more than once.
    cell: the name of the cell. units: the size of the output's last axis.
    go_backwards: the sequence is processed, and returned, last step first.
    return_sequences: every step's output is returned, not only the last one's.
    masked: a mask (batch, time) says which steps count. At a masked step the states do not change,
    and the output is the previous one, or zero with zero_output_for_mask.
    steps: the number of steps of the sequence, None if it is open.
    initial_state: the model itself computes the initial state, so a stream may not set it.
    within_step: it runs within each step of a TimeDistributed, from zero, so a stream may not set
    its state.
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
        """Return the states that the cell carries, in Keras' order."""
        return roles_of(len(self.state_shapes))

    @property
    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shape of each state, without its batch."""
        raise NotImplementedError

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Return the shape of one step's output, without its batch."""
        raise NotImplementedError

    @property
    def dtype(self) -> np.dtype[np.floating[Any]]:
        """Return the type of the computation: float32, or float64 if the model uses it."""
        raise NotImplementedError

    @property
    def output_is_state(self) -> bool:
        """Return whether a step's output is its first state."""
        raise NotImplementedError

    @property
    def carries_output(self) -> bool:
        """Return whether the output must be carried beside the states, since it may differ from h.

        At a masked step the previous output is repeated, which usually is h. There are two
        exceptions. It is zero if the layer says so. After an initial state from the model, it is
        zero until the first unmasked step. In a stream the state is the previous output.
        """
        same = self.output_is_state and not self.zero_output_for_mask and not self.initial_state
        return self.masked and not same

    @property
    def free(self) -> bool:
        """Return whether a stream sets the initial state."""
        return not self.initial_state and not self.within_step


@dataclass(frozen=True, eq=False, kw_only=True)
class RecurrentLayer(Recurrence):
    """A layer with one of Keras' own cells: its weights and its options.

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
    """A layer of which only the cell's step is known: a user's own cell, a ConvLSTM.

    cell: the name of the cell's class. step: the traced function of x (batch, *width) and the
    states (batch, *state shape) to the output and the next states; it contains the weights.
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
class BidirectionalLayers:
    """One call of a Bidirectional layer `name`: two stacks over one sequence.

    The outputs of the backward stack are in the order of the sequence. merge: Keras' merge_mode,
    None for both outputs.
    """

    name: str
    forward: Stack
    backward: Stack
    merge: str | None


# The layers that one call runs.
Called = Stack | BidirectionalLayers


def roles_of(count: int) -> tuple[Role, ...]:
    """Return the names of a cell's states, if it has `count` of them."""
    return tuple(ROLES[i] if i < len(ROLES) else f"s{i}" for i in range(count))


def layers_of(called: Called) -> Stack:
    """Return the layers of a call, in the order of their states."""
    return (
        (*called.forward, *called.backward) if isinstance(called, BidirectionalLayers) else called
    )


def state_keys(stack: Stack) -> list[StateKey]:
    """Return the states of a stack, in Keras' order."""
    return [(layer.name, role) for layer in stack for role in layer.roles]
