"""Stream: the only object that carries state from call to call.

Between calls of the runner the state is a dict. After two chunks of the same shape it stays in the
runner's own memory, if the runner can be bound (`runtimes.base.BoundRunner`).
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from rnn_deploy.bundle.state_files import (
    StateOwner,
    read_states,
    refuse_other_names,
    write_states,
)
from rnn_deploy.bundle.store import writing_file
from rnn_deploy.errors import InputError
from rnn_deploy.inference.fitting import one_length
from rnn_deploy.inference.plain import Feeds, Results, named, plain
from rnn_deploy.runtimes.base import BindableRunner, BoundRunner, Runner
from rnn_deploy.runtimes.feeds import checker, zero_states
from rnn_deploy.spec import Array, chunks

Shapes = dict[str, tuple[int, ...]]
Prepare = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def run_in_chunks(
    runner: Runner, feeds: Mapping[str, Array], lengths: Iterable[int]
) -> dict[str, Array]:
    """Run `feeds`, with or without initial states, in chunks; return outputs and final states."""
    checker(runner.entry)(feeds)
    states = {state.tensor.name for state in runner.entry.states}
    inputs = {name: value for name, value in feeds.items() if name not in states}
    stream = Stream(runner, batch=next(iter(inputs.values())).shape[0])
    stream.state = stream.state | {n: v for n, v in feeds.items() if n in states}
    return stream.run(inputs, lengths) | stream.finals()


def not_pickled(kind: str, instead: str) -> InputError:
    """Return the error for pickling an object with a loaded runtime."""
    return InputError(
        "E-STATE-NOT-PICKLED",
        f"a {kind} cannot be pickled, since it holds a loaded runtime; call {instead}: a Model can"
        " be pickled",
    )


class Stream:
    """Feed a sequence chunk by chunk; the stream keeps the recurrent states in between.

    runner: a runner of the stream entry point. batch: number of sequences side by side. owner: the
    model that the states belong to, for state files. prepare: converts raw feeds to inputs.
    Raises InputError if chunks of this model give other outputs than the whole sequence, or if
    `batch` is less than 1.
    """

    def __init__(
        self,
        runner: Runner,
        batch: int = 1,
        owner: StateOwner | None = None,
        prepare: Prepare | None = None,
    ) -> None:
        if not runner.entry.chunked.ok:
            raise InputError(
                "E-STATE-NOT-CHUNKED",
                f"this model cannot run in chunks: {runner.entry.chunked.reason};"
                " run whole sequences instead: predict(x), or `run` without --chunk",
            )
        if batch < 1:
            raise InputError("E-INPUT-BATCH-SIZE", f"batch is {batch}; it must be at least 1")
        self._runner, self._batch, self._owner = runner, batch, owner
        self._prepare = prepare
        self._outputs = [tensor.name for tensor in runner.entry.outputs]
        self._carry = [(s.tensor.name, s.next_name) for s in runner.entry.states]
        self._inputs = [tensor.name for tensor in runner.entry.inputs]
        self._plain = len(self._inputs) == len(self._outputs) == 1 and prepare is None
        self._state: dict[str, Array] = {}
        self._bound: BoundRunner | None = None  # if set, it has the state
        self._before: Shapes = {}
        self.reset()

    def __repr__(self) -> str:
        states = ", ".join(f"{name} {value.shape}" for name, value in self.state.items())
        return f"<Stream of {self._batch} sequences, states {states}>"

    def __copy__(self) -> "Stream":
        """Return an independent stream that continues from the same state."""
        twin = Stream(self._runner, self._batch, self._owner, self._prepare)
        twin.state = self.state
        return twin

    def __deepcopy__(self, memo: object) -> "Stream":
        return self.__copy__()  # the runner has no data of a stream

    def __reduce__(self) -> NoReturn:
        raise not_pickled("Stream", "stream.save(FILE), and restore it in a new stream")

    @property
    def state(self) -> dict[str, Array]:
        """A copy of the states by input name, each (batch, units)."""
        if self._bound is not None:
            return self._bound.states
        return {name: value.copy() for name, value in self._state.items()}

    @state.setter
    def state(self, state: Mapping[str, Array]) -> None:
        zero = zero_states(self._runner.entry, self._batch)
        refuse_other_names(state, zero, "the given state")
        for name, value in zero.items():
            given = np.asarray(state[name])
            if given.shape != value.shape or given.dtype != value.dtype:
                raise InputError(
                    "E-STATE-SHAPE",
                    f"state '{name}' is {given.dtype}{given.shape}, expected"
                    f" {value.dtype}{value.shape} (batch, units)",
                )
        self._hold({name: np.array(value) for name, value in state.items()})

    def reset(self) -> None:
        """Set every state to zero."""
        self._hold(zero_states(self._runner.entry, self._batch))

    def step(self, feeds: Feeds) -> Results:
        """Feed the next chunk, of one step or more; return its outputs as `Model.predict` does."""
        if self._plain and self._bound is not None and self._bound.takes((feeds,)):
            return self._bound.step((feeds,))[0]  # type: ignore[arg-type]  # it takes arrays only
        entry = self._runner.entry
        return plain(entry, self.advance(self._prepared(named(entry, feeds))))

    def advance(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Feed the next chunk by input name; return its outputs by name."""
        arrays = [feeds.get(name) for name in self._inputs]
        if self._bound is not None and len(feeds) == len(arrays) and self._bound.takes(arrays):
            stepped = self._bound.step(arrays)  # type: ignore[arg-type]  # it takes arrays only
            return dict(zip(self._outputs, stepped, strict=True))
        feeds = one_length(self._runner.entry, feeds)
        results = self._runner.run(self._with_state(feeds))
        self._bound = None
        self._state = {into: results[out] for into, out in self._carry}
        moved = {name: results[name] for name in self._outputs}
        self._bind({name: value.shape for name, value in (*feeds.items(), *moved.items())})
        return moved

    def _bind(self, shapes: Shapes) -> None:
        """Bind the runner after two chunks of the same shapes."""
        if shapes == self._before and isinstance(self._runner, BindableRunner):
            states = {name: value.shape for name, value in self._state.items()}
            self._bound = self._runner.bound({**shapes, **states})
            if self._bound is not None:
                self._bound.states = self._state
        self._before = shapes

    def _hold(self, state: Mapping[str, Array]) -> None:
        if self._bound is None:
            self._state = dict(state)
        else:
            self._bound.states = state

    def _prepared(self, feeds: Mapping[str, Any]) -> Mapping[str, Any]:
        return feeds if self._prepare is None else self._prepare(feeds)

    def _with_state(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return the feeds with the states; raise InputError if the feeds hold a state already."""
        state = self._state if self._bound is None else self._bound.states
        brought = [name for name in feeds if name in state]
        if brought:
            raise InputError(
                "E-INPUT-IS-STATE",
                f"'{brought[0]}' is a state, which the stream carries: feed the model's inputs"
                " only, and set states with stream.state = ...",
            )
        self._check_batch(feeds, state)
        return {**feeds, **state}

    def _check_batch(self, feeds: Mapping[str, Array], state: Mapping[str, Array]) -> None:
        """Raise InputError if an input has another number of sequences than the state."""
        here = next((len(value) for value in state.values()), None)
        for tensor in self._runner.entry.inputs:
            array = feeds.get(tensor.name)
            if here is None or not isinstance(tensor.shape[0], str):
                continue
            if not isinstance(array, np.ndarray) or array.ndim != len(tensor.shape):
                continue
            if len(array) not in (0, here):
                raise InputError(
                    "E-INPUT-BATCH",
                    f"this stream runs {here} sequences side by side, input '{tensor.name}' has"
                    f" {len(array)}; make another stream: model.stream({len(array)})",
                )

    def run(self, feeds: Feeds, lengths: Iterable[int]) -> dict[str, Array]:
        """Feed a sequence in chunks of these lengths; return the joined outputs by name.

        If a chunk is refused, the state is again what it was before the first chunk.
        """
        entry = self._runner.entry
        feeds = one_length(entry, self._prepared(named(entry, feeds)))
        checker(entry)(self._with_state(feeds))
        before = self.state
        try:
            pieces = [self.advance(piece) for piece in chunks.cut(entry, feeds, list(lengths))]
        except BaseException:
            self._hold(before)
            raise
        return chunks.joined(entry, pieces)

    def finals(self) -> dict[str, Array]:
        """Return the states under the names of the entry point's outputs."""
        state = self.state
        return {out: state[into] for into, out in self._carry}

    def save(self, place: str | Path, *, force: bool = False) -> None:
        """Write the state to an .npz file that names the model (`bundle.state_files`)."""
        with writing_file(place, force=force) as draft:
            write_states(draft, self.state, self._owner)

    def restore(self, place: str | Path, *, any_bundle: bool = False) -> None:
        """Take the state from a file that `save` or `run --state-out` wrote.

        any_bundle: accept a state of another model, or plain arrays.
        Raises InputError if the file belongs to another model, or does not fit this stream.
        """
        self.state = read_states(Path(place), self._owner, any_bundle=any_bundle)
