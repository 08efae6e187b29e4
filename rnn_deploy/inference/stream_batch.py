"""StreamBatch: many streams side by side, run as the rows of one batch.

Streams join and leave at any time. Their states are the rows of one `Stream`, which keeps them in
place while no stream joins or leaves and all are fed. A step of only some streams runs on a copy of
their rows.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rnn_deploy.bundle.state_files import StateOwner, read_states, write_states
from rnn_deploy.bundle.store import writing_file
from rnn_deploy.errors import InputError
from rnn_deploy.inference.plain import Feeds, Results, named
from rnn_deploy.inference.stream import Stream
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.runtimes.feeds import zero_states
from rnn_deploy.spec import Array, EntryPoint

State = dict[str, Array]


class StreamBatch:
    """Streams known by number; one call runs the next chunk of many of them.

    runner: a runner of the stream entry point. owner: the model that the states belong to, for
    state files. Raises InputError if the model cannot run in chunks or has a fixed batch.
    """

    def __init__(self, runner: Runner, owner: StateOwner | None = None) -> None:
        why = runner.entry.why_one_batch
        if why is not None:
            raise InputError(
                "E-INPUT-ONE-BATCH",
                f"streams of this model cannot share a call: {why}; use one Stream for each",
            )
        self._runner, self._owner = runner, owner
        self._stream = Stream(runner)  # one row per key, or one row if there is no key
        self._rows: dict[int, int] = {}
        self._next = 0

    def __repr__(self) -> str:
        return f"<StreamBatch of the streams {', '.join(map(str, self._rows)) or 'none'}>"

    def __copy__(self) -> "StreamBatch":
        """Return independent streams with the same numbers that continue from the same states."""
        twin = StreamBatch(self._runner, self._owner)
        twin._replace(tuple(self._rows), self._stream.state)
        twin._next = self._next
        return twin

    def __deepcopy__(self, memo: object) -> "StreamBatch":
        return self.__copy__()  # the runner holds nothing of a stream's

    @property
    def keys(self) -> tuple[int, ...]:
        """The numbers of all streams, in the order of their rows."""
        return tuple(self._rows)

    def join(self, state: Mapping[str, Array] | None = None) -> int:
        """Add a stream and return its number; it starts from zero, or from `state`, (1, units)."""
        begun = Stream(self._runner)
        if state is not None:
            begun.state = dict(state)  # checks it
        rows = [self._stream.state, begun.state] if self._rows else [begun.state]
        key, self._next = self._next, self._next + 1
        self._replace([*self._rows, key], _stacked(rows))
        return key

    def leave(self, key: int) -> State:
        """Remove a stream and return its state, so that it can continue elsewhere."""
        state = self.state(key)
        row = self._row(key)
        rest = {name: np.delete(value, row, axis=0) for name, value in self._stream.state.items()}
        self._replace([k for k in self._rows if k != key], rest)
        return state

    def save(self, key: int, place: str | Path, *, force: bool = False) -> None:
        """Write the state of one stream to a file, as `Stream.save` does."""
        with writing_file(place, force=force) as draft:
            write_states(draft, self.state(key), self._owner)

    def restore(self, place: str | Path, *, any_bundle: bool = False) -> int:
        """Add a stream that continues from a state file; return its number.

        any_bundle: accept a state of another model, or plain arrays.
        """
        return self.join(read_states(Path(place), self._owner, any_bundle=any_bundle))

    def state(self, key: int) -> State:
        """Return the state of one stream by input name, each (1, units)."""
        row = self._row(key)
        return {name: value[row : row + 1] for name, value in self._stream.state.items()}

    def step(self, feeds: Mapping[int, Feeds]) -> dict[int, Results]:
        """Feed the next chunk of some or all streams, by number; return their outputs by number.

        All chunks have the same length. Streams that are not fed keep their state.
        """
        keys = self._fed(feeds)
        if not keys:
            return {}
        outputs = self._advance(keys, _joined(self._runner.entry, [feeds[key] for key in keys]))
        rows = {name: value[:, None] for name, value in outputs.items()}  # each a batch of one
        if len(rows) == 1:
            return dict(zip(keys, *rows.values(), strict=True))
        split = zip(*rows.values(), strict=True)
        return {k: dict(zip(rows, row, strict=True)) for k, row in zip(keys, split, strict=True)}

    def step_all(self, feeds: Feeds) -> Results:
        """Feed the next chunk of every stream, as the rows of one batch in the order of `keys`."""
        if not self._rows:
            raise InputError("E-STATE-NO-STREAM", "there is no stream to feed; call join() first")
        return self._stream.step(feeds)

    def _advance(self, keys: Sequence[int], feeds: Mapping[str, Array]) -> dict[str, Array]:
        if len(keys) == len(self._rows):
            return self._stream.advance(feeds)
        rows = [self._row(key) for key in keys]
        state = self._stream.state
        some = Stream(self._runner, len(rows))
        some.state = {name: value[rows] for name, value in state.items()}
        outputs = some.advance(feeds)
        for name, value in some.state.items():
            state[name][rows] = value
        self._stream.state = state
        return outputs

    def _fed(self, feeds: Mapping[int, Feeds]) -> list[int]:
        """Return the numbers in `feeds`, in the order of their rows; InputError for others."""
        keys = list(self._rows)
        if list(feeds) == keys:
            return keys
        keys = [key for key in keys if key in feeds]
        if len(keys) < len(feeds):
            self._row(next(key for key in feeds if key not in self._rows))
        return keys

    def _row(self, key: int) -> int:
        if key not in self._rows:
            there = ", ".join(map(str, self._rows)) or "none"
            raise InputError("E-STATE-NO-STREAM", f"no stream has the number {key}, only {there}")
        return self._rows[key]

    def _replace(self, keys: Sequence[int], state: State) -> None:
        self._stream = Stream(self._runner, max(1, len(keys)))
        self._stream.state = state if keys else zero_states(self._runner.entry, 1)
        self._rows = {key: row for row, key in enumerate(keys)}


def _stacked(states: Sequence[State]) -> State:
    return {name: np.concatenate([state[name] for state in states]) for name in states[0]}


def _joined(entry: EntryPoint, feeds: Sequence[Feeds]) -> State:
    """Join the feeds of several streams, each with a batch of one, to one batch."""
    if len(entry.inputs) == 1 and set(map(type, feeds)) == {np.ndarray}:
        return {entry.inputs[0].name: _one_batch(feeds)}  # type: ignore[arg-type]  # they are arrays
    by_name = [named(entry, feed) for feed in feeds]
    if any(feed.keys() != by_name[0].keys() for feed in by_name):
        raise InputError(
            "E-INPUT-MIXED", "the streams of one call must all be fed the same input names"
        )
    by_input = {name: [np.asanyarray(feed[name]) for feed in by_name] for name in by_name[0]}
    return {name: _one_batch(arrays) for name, arrays in by_input.items()}


def _one_batch(arrays: Sequence[Array]) -> Array:
    shapes = dict.fromkeys([array.shape for array in arrays])
    if len(shapes) > 1 or next(iter(shapes))[:1] != (1,):
        found = ", ".join(map(str, shapes))
        raise InputError(
            "E-INPUT-MIXED",
            "the streams of one call need a batch axis of one each, x[None], and chunks of the same"
            f" length; found {found}",
        )
    return np.concatenate(arrays)
