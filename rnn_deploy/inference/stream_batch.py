"""StreamBatch: many streams side by side, run as the rows of one batch.

Streams join and leave at any time. Their states are rows of one `Stream`, which keeps them in place
while nobody joins or leaves and all are fed; a step of some of them runs over a copy of their rows.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.inference.plain import Feeds, Results, named
from rnn_deploy.inference.stream import Stream
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.runtimes.feeds import zero_states
from rnn_deploy.spec import Array, EntryPoint

State = dict[str, Array]


class StreamBatch:
    """Streams known by number; one call runs the next chunk of many of them.

    runner: a runner of the stream entry point. InputError when the model cannot be run in chunks
    or fixes its batch.
    """

    def __init__(self, runner: Runner) -> None:
        why = runner.entry.why_one_batch
        if why is not None:
            raise InputError(f"{why}, so streams cannot share a call")
        self._runner = runner
        self._stream = Stream(runner)  # of as many rows as there are keys, once there are any
        self._rows: dict[int, int] = {}
        self._next = 0

    def __copy__(self) -> "StreamBatch":
        """Streams of their own, by the same numbers, that go on from the same states."""
        twin = StreamBatch(self._runner)
        twin._replace(tuple(self._rows), self._stream.state)
        twin._next = self._next
        return twin

    def __deepcopy__(self, memo: object) -> "StreamBatch":
        return self.__copy__()  # the runner holds nothing of a stream's

    @property
    def keys(self) -> tuple[int, ...]:
        """The streams there are, in the order of their rows."""
        return tuple(self._rows)

    def join(self, state: Mapping[str, Array] | None = None) -> int:
        """A new stream's number; it begins from zero, or from the state of another, (1, units)."""
        begun = Stream(self._runner)
        if state is not None:
            begun.state = dict(state)  # checks it
        rows = [self._stream.state, begun.state] if self._rows else [begun.state]
        key, self._next = self._next, self._next + 1
        self._replace([*self._rows, key], _stacked(rows))
        return key

    def leave(self, key: int) -> State:
        """Take a stream out; its state, with which it can go on elsewhere."""
        state = self.state(key)
        row = self._row(key)
        rest = {name: np.delete(value, row, axis=0) for name, value in self._stream.state.items()}
        self._replace([k for k in self._rows if k != key], rest)
        return state

    def state(self, key: int) -> State:
        """The state of one stream by input name, each (1, units)."""
        row = self._row(key)
        return {name: value[row : row + 1] for name, value in self._stream.state.items()}

    def step(self, feeds: Mapping[int, Feeds]) -> dict[int, Results]:
        """Feed some streams or all their next chunk, of one length, by number; their outputs.

        Those that are not fed stay as they are.
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
        """Feed every stream its next chunk, as the rows of one batch in the order of `keys`."""
        if not self._rows:
            raise InputError("there are no streams to feed; join one")
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
        """The streams that are fed, in the order of their rows; InputError for one unknown."""
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
            raise InputError(f"no stream {key}; there are {there}")
        return self._rows[key]

    def _replace(self, keys: Sequence[int], state: State) -> None:
        self._stream = Stream(self._runner, max(1, len(keys)))
        self._stream.state = state if keys else zero_states(self._runner.entry, 1)
        self._rows = {key: row for row, key in enumerate(keys)}


def _stacked(states: Sequence[State]) -> State:
    return {name: np.concatenate([state[name] for state in states]) for name in states[0]}


def _joined(entry: EntryPoint, feeds: Sequence[Feeds]) -> State:
    """One batch of the feeds of several streams, each a batch of one."""
    if len(entry.inputs) == 1 and set(map(type, feeds)) == {np.ndarray}:
        return {entry.inputs[0].name: _one_batch(feeds)}  # type: ignore[arg-type]  # they are arrays
    by_name = [named(entry, feed) for feed in feeds]
    if any(feed.keys() != by_name[0].keys() for feed in by_name):
        raise InputError("streams are fed together, and some have inputs that others have not")
    by_input = {name: [np.asanyarray(feed[name]) for feed in by_name] for name in by_name[0]}
    return {name: _one_batch(arrays) for name, arrays in by_input.items()}


def _one_batch(arrays: Sequence[Array]) -> Array:
    shapes = dict.fromkeys([array.shape for array in arrays])
    if len(shapes) > 1 or next(iter(shapes))[:1] != (1,):
        found = ", ".join(map(str, shapes))
        raise InputError(
            "streams are fed together, so each needs a batch axis of one, x[None], and chunks of"
            f" one length; found {found}"
        )
    return np.concatenate(arrays)
