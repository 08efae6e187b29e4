"""Run sequences of different lengths in one batch without padding: in segments, with states.

    lengths 3, 5, 5, 9:   steps 0-2 of all four,   3-4 of three,   5-8 of the last

Sequences are sorted by length, and those of one batch run together until the shortest ends; the
others continue from their states. Each step is computed once, in batches much larger than those of
equal lengths. It needs an entry point whose chunks compute the same as the whole sequence
(`EntryPoint.chunked`), which excludes, for example, bidirectional layers.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from rnn_deploy.inference.fitting import Fitted
from rnn_deploy.inference.rows import Call
from rnn_deploy.runtimes.feeds import zero_states
from rnn_deploy.spec import Array, EntryPoint

WORTH = 32  # with more sequences of each length, one batch per length is as fast


def can_segment(entry: EntryPoint) -> bool:
    """Return whether the sequences of an entry point can run in segments."""
    fixed = [tensor for tensor in entry.all_inputs if isinstance(tensor.shape[0], int)]
    return bool(
        entry.states
        and entry.chunked.ok
        and entry.rows.ok
        and len(entry.time_symbols) == 1
        and not (fixed or entry.of_whole_batch)
    )


def is_worth_it(lengths: Sequence[int]) -> bool:
    """Return whether batches of equal lengths would be small."""
    return len(lengths) < WORTH * len(set(lengths)) and len(set(lengths)) > 1


def run_in_segments(
    entry: EntryPoint, feeds: Mapping[str, Fitted], call: Call, batch_size: int
) -> dict[str, Fitted]:
    """Return the outputs and final states of all sequences in order.

    feeds: lists of sequences, and initial states, zero if they are missing.
    """
    (time,) = entry.time_symbols
    timed = [tensor.name for tensor in entry.inputs if tensor.shape[1:2] == (time,)]
    lengths = np.array([len(row) for row in feeds[timed[0]]])
    order = np.argsort(lengths, kind="stable")
    found: dict[str, list[Array]] = {t.name: [np.empty(0)] * len(order) for t in entry.all_outputs}
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = _Batch(entry, {n: [v[r] for r in rows] for n, v in feeds.items()}, timed)
        for name, values in batch.run(lengths[rows], call).items():
            for row, value in zip(rows, values, strict=True):
                found[name][row] = value
    return dict(found)


class _Batch:
    """Sequences that run side by side, the shortest first."""

    def __init__(
        self, entry: EntryPoint, feeds: Mapping[str, Sequence[Array]], timed: Sequence[str]
    ) -> None:
        self._entry, self._timed = entry, set(timed)
        states = zero_states(entry, len(feeds[timed[0]]))
        given = {name: np.stack(feeds[name]) for name in states if name in feeds}
        self._states = states | given
        self._fixed = {
            t.name: np.stack(feeds[t.name]) for t in entry.inputs if t.name not in self._timed
        }
        self._steps = {name: _side_by_side(feeds[name]) for name in timed}

    def run(self, lengths: Array, call: Call) -> dict[str, list[Array]]:
        """Return outputs and final states by name, one for each sequence."""
        over_time: dict[str, list[tuple[int, Array]]] = {
            t.name: [] for t in self._entry.outputs if t.shape[1:2] == self._entry.time_symbols
        }
        ended: dict[str, list[Array]] = {t.name: [] for t in self._entry.all_outputs}
        first, states = 0, self._states
        for begin, end in pairwise([0, *np.unique(lengths).tolist()]):
            part = {n: np.ascontiguousarray(v[first:, begin:end]) for n, v in self._steps.items()}
            rest = {name: value[first:] for name, value in self._fixed.items()}
            results = call({**part, **rest, **states})
            for name, pieces in over_time.items():
                pieces.append((first, results[name]))
            count = int(np.searchsorted(lengths[first:], end, side="right"))
            for name, rows in ended.items():
                if name not in over_time:
                    rows.extend(results[name][:count])
            states = {s.tensor.name: results[s.next_name][count:] for s in self._entry.states}
            first += count
        for name, pieces in over_time.items():
            ended[name] = [
                np.concatenate([piece[row - start] for start, piece in pieces if row >= start])
                for row in range(len(lengths))
            ]
        return ended


def _side_by_side(rows: Sequence[Array]) -> Array:
    """Return rows as one array; values after the end of a row are never read."""
    full = np.zeros((len(rows), len(rows[-1]), *rows[-1].shape[1:]), rows[-1].dtype)
    for row, value in enumerate(rows):
        full[row, : len(value)] = value
    return full
