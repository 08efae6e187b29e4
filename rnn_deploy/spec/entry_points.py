"""Ways to call an exported model: its inputs, outputs and states.

TensorSpec  a named tensor; a str in its shape is a symbol such as "batch" or "time"
StateSpec   the input through which a state enters, and the output through which it leaves
EntryPoint  one way to call the model
Support     yes, or no with the reason
"""

from dataclasses import dataclass, replace

from rnn_deploy.spec.types import Dim, Role, StateKey

SEQUENCE = "sequence"
STREAM = "stream"
ENCODE = "encode"
DECODE = "decode"
STEP = "step"  # the stream at one step, if a bundle has a file of its own for it


@dataclass(frozen=True)
class Support:
    """Whether something can be done, with the reason if it cannot."""

    ok: bool
    reason: str = ""


@dataclass(frozen=True)
class TensorSpec:
    """A named tensor.

    shape: ints are fixed, strings are symbols; equal symbols of one call have equal sizes.
    dtype: NumPy's name of the type.
    below: for token ids, the vocabulary size; ids lie in [-below, below) as Embedding takes them.
    padding: a step that contains only this value is masked.
    """

    name: str
    shape: tuple[Dim, ...]
    dtype: str
    below: int | None = None
    padding: float | None = None

    def admits(self, shape: tuple[int, ...]) -> bool:
        """Return whether an array of `shape` has this rank and these fixed dimensions."""
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
        """Return the layer and the role of the state, independent of its names."""
        return self.layer, self.role

    @property
    def next_tensor(self) -> TensorSpec:
        return TensorSpec(self.next_name, self.tensor.shape, self.tensor.dtype)


@dataclass(frozen=True)
class EntryPoint:
    """One way to call the exported model.

    chunked: whether chunks, with carried states, have the same results as the whole sequence.
    rows: whether a sequence alone has the same results as in a batch. Both are measured on the
    float64 oracle, since they depend on other layers than the recurrent ones too.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    states: tuple[StateSpec, ...] = ()
    chunked: Support = Support(False, "this entry point carries no state")
    rows: Support = Support(False, "it was not measured whether its rows depend on each other")

    @property
    def time_symbols(self) -> tuple[str, ...]:
        """Return the symbols for a number of steps.

        In `decode` only the symbol of the target, which comes first; its memory is never cut.
        """
        inputs = self.inputs[:1] if self.name == DECODE else self.inputs
        dims = (t.shape[1] for t in inputs if len(t.shape) > 1)
        return tuple(dict.fromkeys(dim for dim in dims if isinstance(dim, str)))

    @property
    def timed(self) -> str:
        """Return the input whose axis 1 is the number of steps of a call.

        It is not always the first input, which may be constant in time. It is the first if no
        number of steps is open.
        """
        symbols = self.time_symbols[:1]
        timed = [t.name for t in self.inputs if symbols and t.shape[1:2] == symbols]
        return (timed or [self.inputs[0].name])[0]

    @property
    def of_whole_batch(self) -> tuple[str, ...]:
        """Return the outputs whose first axis is not the batch, so that rows are not sequences."""
        batch = self.inputs[0].shape[:1]
        return tuple(tensor.name for tensor in self.outputs if tensor.shape[:1] != batch)

    @property
    def why_one_batch(self) -> str | None:
        """Return why its batch cannot be cut into sequences and joined again; None if it can."""
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
    """Return the entry point `step`: the stream with the one symbol of its time fixed at 1."""
    (time,) = stream.time_symbols

    def fixed(tensor: TensorSpec) -> TensorSpec:
        return replace(tensor, shape=tuple(1 if dim == time else dim for dim in tensor.shape))

    inputs, outputs = (tuple(map(fixed, ts)) for ts in (stream.inputs, stream.outputs))
    return replace(stream, name=STEP, inputs=inputs, outputs=outputs)
