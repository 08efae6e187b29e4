"""Stream: the one object that carries state from call to call."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from zipfile import BadZipFile, is_zipfile

import numpy as np

from rnn_deploy import chunks
from rnn_deploy.bundle.store import writing_file
from rnn_deploy.errors import InputError
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.runtimes.feeds import checker, zero_states
from rnn_deploy.runtimes.plain import Feeds, Results, named, plain
from rnn_deploy.spec import Array


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
    InputError when chunks of this model do not give what the whole gives.
    """

    def __init__(self, runner: Runner, batch: int = 1) -> None:
        if not runner.entry.chunked.ok:
            raise InputError(
                f"this model cannot be run in chunks: {runner.entry.chunked.reason};"
                " run it whole, as the entry point 'sequence'"
            )
        self._runner = runner
        self._batch = batch
        self._outputs = [tensor.name for tensor in runner.entry.outputs]
        self._carry = [(s.tensor.name, s.next_name) for s in runner.entry.states]
        self._state: dict[str, Array] = {}
        self.reset()

    @property
    def state(self) -> dict[str, Array]:
        """The states by input name, each (batch, units)."""
        return dict(self._state)

    @state.setter
    def state(self, state: Mapping[str, Array]) -> None:
        zero = zero_states(self._runner.entry, self._batch)
        if set(state) != set(zero):
            raise InputError(f"the state holds {sorted(state)}, this stream's is {sorted(zero)}")
        for name, value in zero.items():
            if state[name].shape != value.shape or state[name].dtype != value.dtype:
                raise InputError(
                    f"state '{name}' is {state[name].dtype}{state[name].shape},"
                    f" this stream's is {value.dtype}{value.shape}"
                )
        self._state = dict(state)

    def reset(self) -> None:
        """Begin anew: every state zero."""
        self._state = zero_states(self._runner.entry, self._batch)

    def step(self, feeds: Feeds) -> Results:
        """Feed the next chunk (one step is a chunk of one); its outputs, plain where one."""
        entry = self._runner.entry
        return plain(entry, self.advance(named(entry, feeds)))

    def advance(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Feed the next chunk by name; its outputs by name."""
        results = self._runner.run({**feeds, **self._state})
        self._state = {into: results[out] for into, out in self._carry}
        return {name: results[name] for name in self._outputs}

    def run(self, feeds: Mapping[str, Array], lengths: Iterable[int]) -> dict[str, Array]:
        """Feed a long sequence in chunks of these lengths; the outputs of the whole, by name."""
        entry = self._runner.entry
        checker(entry)({**feeds, **self._state})  # of the whole, before a chunk has moved the state
        pieces = [self.advance(piece) for piece in chunks.cut(entry, feeds, list(lengths))]
        return chunks.joined(entry, pieces)

    def finals(self) -> dict[str, Array]:
        """The states by the names they leave the stream entry point by."""
        return {out: self._state[into] for into, out in self._carry}

    def save(self, place: str | Path, *, force: bool = False) -> None:
        """Write the state to an .npz file."""
        with writing_file(place, force=force) as draft, draft.open("wb") as file:
            np.savez(file, **self._state)  # type: ignore[arg-type]

    def restore(self, place: str | Path) -> None:
        """Take the state from an .npz file that `save` wrote."""
        if not is_zipfile(place):
            raise InputError(f"{place}: no state can be read from it (missing, or not an .npz)")
        try:
            with np.load(place, allow_pickle=False) as file:
                self.state = {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            raise InputError(f"{place}: no state can be read from it ({error})") from error
