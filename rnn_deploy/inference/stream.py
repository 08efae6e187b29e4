"""Stream: the one object that carries state from call to call.

The state is a dict between calls of the runner, until chunks of one shape come one after the other:
then, on a runner that can be bound, it stays in the runner's own memory (`base.Bound`).
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from zipfile import BadZipFile, is_zipfile

import numpy as np

from rnn_deploy.bundle.store import writing_file
from rnn_deploy.errors import InputError
from rnn_deploy.inference.plain import Feeds, Results, named, plain
from rnn_deploy.runtimes.base import BindableRunner, BoundRunner, Runner
from rnn_deploy.runtimes.feeds import checker, zero_states
from rnn_deploy.spec import Array, chunks

Shapes = dict[str, tuple[int, ...]]


def run_in_chunks(
    runner: Runner, feeds: Mapping[str, Array], lengths: Iterable[int]
) -> dict[str, Array]:
    """Run `feeds` (initial states among them or not) in chunks: outputs and final states."""
    checker(runner.entry)(feeds)
    states = {state.tensor.name for state in runner.entry.states}
    inputs = {name: value for name, value in feeds.items() if name not in states}
    stream = Stream(runner, batch=next(iter(inputs.values())).shape[0])
    stream.state = stream.state | {n: v for n, v in feeds.items() if n in states}
    return stream.run(inputs, lengths) | stream.finals()


class Stream:
    """Feeds a sequence chunk by chunk; the recurrent states stay here in between.

    runner: a runner of the stream entry point. batch: how many sequences run side by side.
    InputError when chunks of this model do not give what the whole gives, or for a batch of none.
    """

    def __init__(self, runner: Runner, batch: int = 1) -> None:
        if not runner.entry.chunked.ok:
            raise InputError(
                f"this model cannot be run in chunks: {runner.entry.chunked.reason};"
                " run it whole, as the entry point 'sequence'"
            )
        if batch < 1:
            raise InputError(f"a stream of {batch} sequences; give at least 1")
        self._runner = runner
        self._batch = batch
        self._outputs = [tensor.name for tensor in runner.entry.outputs]
        self._carry = [(s.tensor.name, s.next_name) for s in runner.entry.states]
        self._inputs = [tensor.name for tensor in runner.entry.inputs]
        self._plain = len(self._inputs) == len(self._outputs) == 1
        self._state: dict[str, Array] = {}
        self._bound: BoundRunner | None = None  # it holds the state while it is there
        self._before: Shapes = {}
        self.reset()

    def __copy__(self) -> "Stream":
        """A stream of its own that goes on from the same state."""
        twin = Stream(self._runner, self._batch)
        twin.state = self.state
        return twin

    def __deepcopy__(self, memo: object) -> "Stream":
        return self.__copy__()  # the runner holds nothing of a stream's

    @property
    def state(self) -> dict[str, Array]:
        """The states by input name, each (batch, units): a copy."""
        if self._bound is not None:
            return self._bound.states
        return {name: value.copy() for name, value in self._state.items()}

    @state.setter
    def state(self, state: Mapping[str, Array]) -> None:
        zero = zero_states(self._runner.entry, self._batch)
        if set(state) != set(zero):
            raise InputError(f"the state holds {sorted(state)}, this stream's is {sorted(zero)}")
        for name, value in zero.items():
            given = np.asarray(state[name])
            if given.shape != value.shape or given.dtype != value.dtype:
                raise InputError(
                    f"state '{name}' is {given.dtype}{given.shape},"
                    f" this stream's is {value.dtype}{value.shape}"
                )
        self._hold({name: np.array(value) for name, value in state.items()})

    def reset(self) -> None:
        """Begin anew: every state zero."""
        self._hold(zero_states(self._runner.entry, self._batch))

    def step(self, feeds: Feeds) -> Results:
        """Feed the next chunk (one step is a chunk of one); its outputs, plain where one."""
        if self._plain and self._bound is not None and self._bound.takes((feeds,)):
            return self._bound.step((feeds,))[0]  # type: ignore[arg-type]  # it takes arrays only
        entry = self._runner.entry
        return plain(entry, self.advance(named(entry, feeds)))

    def advance(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Feed the next chunk by name; its outputs by name."""
        arrays = [feeds.get(name) for name in self._inputs]
        if self._bound is not None and len(feeds) == len(arrays) and self._bound.takes(arrays):
            stepped = self._bound.step(arrays)  # type: ignore[arg-type]  # it takes arrays only
            return dict(zip(self._outputs, stepped, strict=True))
        results = self._runner.run(self._with_state(feeds))
        self._bound = None
        self._state = {into: results[out] for into, out in self._carry}
        moved = {name: results[name] for name in self._outputs}
        self._bind({name: value.shape for name, value in (*feeds.items(), *moved.items())})
        return moved

    def _bind(self, shapes: Shapes) -> None:
        """Bind the runner once two chunks of the same shapes have come one after the other."""
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

    def _with_state(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Feeds and the states held; InputError for feeds that bring a state of their own."""
        state = self._state if self._bound is None else self._bound.states
        brought = [name for name in feeds if name in state]
        if brought:
            raise InputError(
                f"'{brought[0]}' is a state, which the stream carries itself;"
                " set it by stream.state = ..., and feed the model's inputs alone"
            )
        self._check_batch(feeds, state)
        return {**feeds, **state}

    def _check_batch(self, feeds: Mapping[str, Array], state: Mapping[str, Array]) -> None:
        """InputError for another number of sequences than the state has."""
        here = next((len(value) for value in state.values()), None)
        for tensor in self._runner.entry.inputs:
            array = feeds.get(tensor.name)
            if here is None or not isinstance(tensor.shape[0], str):
                continue
            if not isinstance(array, np.ndarray) or array.ndim != len(tensor.shape):
                continue
            if len(array) not in (0, here):
                raise InputError(
                    f"this stream runs {here} sequences side by side, input '{tensor.name}' brings"
                    f" {len(array)}; a stream of so many is model.stream({len(array)})"
                )

    def run(self, feeds: Feeds, lengths: Iterable[int]) -> dict[str, Array]:
        """Feed a long sequence in chunks of these lengths; the outputs of the whole, by name.

        If a chunk is refused the state is what it was before the first one.
        """
        entry = self._runner.entry
        feeds = named(entry, feeds)
        checker(entry)(self._with_state(feeds))
        before = self.state
        try:
            pieces = [self.advance(piece) for piece in chunks.cut(entry, feeds, list(lengths))]
        except BaseException:
            self._hold(before)
            raise
        return chunks.joined(entry, pieces)

    def finals(self) -> dict[str, Array]:
        """The states by the names they leave the stream entry point by."""
        state = self.state
        return {out: state[into] for into, out in self._carry}

    def save(self, place: str | Path, *, force: bool = False) -> None:
        """Write the state to an .npz file."""
        with writing_file(place, force=force) as draft, draft.open("wb") as file:
            np.savez(file, **self.state)  # type: ignore[arg-type]

    def restore(self, place: str | Path) -> None:
        """Take the state from an .npz file that `save` wrote."""
        if not is_zipfile(place):
            raise InputError(f"{place}: no state can be read from it (missing, or not an .npz)")
        try:
            with np.load(place, allow_pickle=False) as file:
                self.state = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            raise InputError(f"{place}: no state can be read from it ({error})") from error
