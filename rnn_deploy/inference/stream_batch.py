"""StreamBatch: many streams side by side, run as the rows of one batch.

Streams join and leave at any time. Their states are the rows of one `Stream`, which keeps them in
place while no stream joins or leaves and all are fed. A step of only some streams runs on a copy of
their rows.
"""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from rnn_deploy.bundle.state_files import (
    StateOwner,
    read_keyed_states,
    read_states,
    refuse_other_names,
    write_states,
)
from rnn_deploy.bundle.store import writing_file
from rnn_deploy.errors import InputError
from rnn_deploy.inference.fitting import one_length
from rnn_deploy.inference.plain import Feeds, Results, named
from rnn_deploy.inference.stream import Prepare, Stream, not_pickled
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.runtimes.feeds import zero_states
from rnn_deploy.spec import Array, EntryPoint

State = dict[str, Array]
Key = Hashable


class StreamBatch:
    """Streams by key: a number, or the user's own. One call runs the next chunk of many streams.

    runner: a runner of the stream entry point. owner: the model that the states belong to, for
    state files. prepare: converts raw feeds to inputs. Raises InputError if the model cannot run in
    chunks or has a fixed batch.
    """

    def __init__(
        self, runner: Runner, owner: StateOwner | None = None, prepare: Prepare | None = None
    ) -> None:
        why = runner.entry.why_one_batch
        if why is not None:
            raise InputError(
                "E-INPUT-ONE-BATCH",
                f"streams of this model cannot share a call: {why}; use one Stream for each",
            )
        self._runner, self._owner, self._prepare = runner, owner, prepare
        self._stream = Stream(runner)  # one row per key, or one row if there is no key
        self._rows: dict[Key, int] = {}
        self._next = 0

    def __repr__(self) -> str:
        return f"<StreamBatch of the streams {', '.join(map(str, self._rows)) or 'none'}>"

    def __copy__(self) -> "StreamBatch":
        """Return independent streams with the same numbers that continue from the same states."""
        twin = StreamBatch(self._runner, self._owner, self._prepare)
        twin._replace(tuple(self._rows), self._stream.state)
        twin._next = self._next
        return twin

    def __deepcopy__(self, memo: object) -> "StreamBatch":
        return self.__copy__()  # the runner has no data of a stream

    def __reduce__(self) -> NoReturn:
        raise not_pickled("StreamBatch", "save for each stream, and restore them in a new one")

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys of all streams, in the order of their rows."""
        return tuple(self._rows)

    def join(self, state: Mapping[str, Array] | None = None, *, key: Any = None) -> Any:
        """Add a stream and return its key; it starts from zero, or from `state`, (1, units).

        key: its key, by default a number; it must be text or an integer if it will be saved.
        """
        begun = Stream(self._runner)
        if state is not None:
            begun.state = dict(state)  # checks it
        (key,) = self._new_keys([key])
        self._add([key], begun.state)
        return key

    def leave(self, key: Any) -> State:
        """Remove a stream and return its state, so that it can continue elsewhere."""
        state = self.state(key)
        row = self._row(key)
        rest = {name: np.delete(value, row, axis=0) for name, value in self._stream.state.items()}
        self._replace([k for k in self._rows if k != key], rest)
        return state

    def save(self, key: Any, place: str | Path | None = None, *, force: bool = False) -> None:
        """Write the state of one stream to a file: save(key, place); or of all: save(place).

        A file of all streams holds their keys, and `load` returns them.
        """
        if place is None:
            where, states, keys = key, self._stream.state, list(self._rows)
            if not keys:
                raise InputError("E-STATE-NO-STREAM", f"{where}: there is no stream to save")
        else:
            where, states, keys = place, self.state(key), None
        with writing_file(where, force=force) as draft:
            write_states(draft, states, self._owner, keys)

    def load(self, place: str | Path, *, any_bundle: bool = False) -> tuple[Any, ...]:
        """Add all streams of a file that `save` or `run --state-out` wrote; return their keys.

        any_bundle: accept states of another model, or plain arrays. Raises InputError if a key is
        taken, and if the states do not fit.
        """
        states, named = read_keyed_states(Path(place), self._owner, any_bundle=any_bundle)
        refuse_other_names(states, zero_states(self._runner.entry, 1), str(place))
        count = next((len(value) for value in states.values() if value.ndim), 0)
        if not count:
            raise InputError("E-STATE-SHAPE", f"{place}: holds no state of any stream")
        loaded = Stream(self._runner, count)
        loaded.state = states  # checks them
        keys = self._new_keys(named or [None] * count)
        self._add(keys, loaded.state)
        return tuple(keys)

    def restore(self, place: str | Path, *, any_bundle: bool = False) -> Any:
        """Add a stream that continues from a file of one state; return its number.

        any_bundle: accept a state of another model, or plain arrays.
        """
        return self.join(read_states(Path(place), self._owner, any_bundle=any_bundle))

    def state(self, key: Any) -> State:
        """Return the state of one stream by input name, each (1, units)."""
        row = self._row(key)
        return {name: value[row : row + 1] for name, value in self._stream.state.items()}

    def step(self, feeds: Mapping[Any, Feeds]) -> dict[Any, Results]:
        """Feed the next chunk of some or all streams, by key; return their outputs by key.

        Chunks of one length run as one batch; each further length is a call of its own. Streams
        that are not fed keep their state. If a chunk is refused, no state changes.
        """
        keys = self._fed(feeds)
        if not keys:
            return {}
        if self._prepare is not None:
            entry = self._runner.entry
            prepared = {key: self._prepare(named(entry, feeds[key])) for key in keys}
            feeds = {key: one_length(entry, feed) for key, feed in prepared.items()}
        groups = self._by_length(keys, feeds)
        if len(groups) == 1:
            return self._step_group(keys, feeds)
        found: dict[Any, Results] = {}
        before = self._stream.state
        try:
            for group in groups:
                found |= self._step_group(group, feeds)
        except BaseException:
            self._stream.state = before
            raise
        return {key: found[key] for key in keys}

    def _by_length(self, keys: Sequence[Key], feeds: Mapping[Any, Feeds]) -> list[list[Key]]:
        """Return the keys in groups whose chunks have the same number of steps."""
        groups: dict[int, list[Key]] = {}
        timed = self._runner.entry.timed
        for key in keys:
            feed = feeds[key]
            value = feed.get(timed) if isinstance(feed, Mapping) else feed
            steps = value.shape[1] if isinstance(value, np.ndarray) and value.ndim > 1 else 0
            groups.setdefault(steps, []).append(key)
        return list(groups.values())

    def _step_group(self, keys: Sequence[Key], feeds: Mapping[Any, Feeds]) -> dict[Any, Results]:
        """Feed chunks of one length."""
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
        if self._prepare is not None:
            feeds = self._prepare(named(self._runner.entry, feeds))
        return self._stream.step(feeds)

    def _advance(self, keys: Sequence[Key], feeds: Mapping[str, Array]) -> dict[str, Array]:
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

    def _fed(self, feeds: Mapping[Any, Feeds]) -> list[Key]:
        """Return the keys in `feeds`, in the order of their rows; raise InputError for others."""
        keys = list(self._rows)
        if list(feeds) == keys:
            return keys
        keys = [key for key in keys if key in feeds]
        if len(keys) < len(feeds):
            self._row(next(key for key in feeds if key not in self._rows))
        return keys

    def _new_keys(self, wanted: Sequence[Key | None]) -> list[Key]:
        """Return keys for new streams, a number for each None; raise InputError for a taken key."""
        keys: list[Key] = []
        for key in wanted:
            if key is None:
                while self._next in self._rows or self._next in wanted:
                    self._next += 1
                key, self._next = self._next, self._next + 1
            if key in self._rows or key in keys:
                raise InputError("E-STATE-KEYS", f"there is already a stream with the key {key!r}")
            keys.append(key)
        return keys

    def _add(self, keys: Sequence[Key], state: State) -> None:
        states = [self._stream.state, state] if self._rows else [state]
        self._replace([*self._rows, *keys], _stacked(states))

    def _row(self, key: Key) -> int:
        if key not in self._rows:
            there = ", ".join(map(str, self._rows)) or "none"
            raise InputError("E-STATE-NO-STREAM", f"no stream has the key {key}, only {there}")
        return self._rows[key]

    def _replace(self, keys: Sequence[Key], state: State) -> None:
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
            "the streams of one call need a batch axis of one each, x[None], and chunks of one"
            f" width; found {found}",
        )
    return np.concatenate(arrays)
