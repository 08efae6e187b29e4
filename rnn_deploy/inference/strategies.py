"""Choose the next token: the likeliest, a random one, or several by beam search.

The score of a sequence is the sum of the logarithms of its tokens' probabilities according to the
model. temperature and top_k change which tokens are drawn, but not the score.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from rnn_deploy.inference.next_token import TokenRows
from rnn_deploy.spec import Array

Floats = NDArray[np.float64]
# Returns the next token of each row, for probabilities (rows, tokens) and the rows' numbers.
Choose = Callable[[Array, Sequence[int]], Array]
NEVER = -np.inf


@dataclass(frozen=True, eq=False)
class Generated:
    """One generated sequence.

    ids: its tokens, without start and end. score: the sum of the logarithms of the probabilities,
    including the end token. ended: the end was generated; otherwise `max_steps` was reached.
    attention: by output name, a row for each token. others: the other sequences of a beam search,
    best first.
    """

    ids: tuple[int, ...]
    score: float
    ended: bool
    attention: Mapping[str, Array] = field(default_factory=dict)
    others: tuple["Generated", ...] = ()


def likeliest(probabilities: Array, rows: Sequence[int]) -> Array:
    """Return the likeliest token of each row; the first one of equals."""
    return probabilities.argmax(axis=-1)


def drawn(temperature: float, top_k: int | None, seed: int, rows: int) -> Choose:
    """Return a function that draws tokens; each row has its own random numbers."""
    generators = [np.random.default_rng([seed, row]) for row in range(rows)]

    def choose(probabilities: Array, rows: Sequence[int]) -> Array:
        weights = _logs(probabilities) / temperature
        if top_k is not None and top_k < weights.shape[-1]:
            least = np.partition(weights, -top_k, axis=-1)[:, -top_k, None]
            weights = np.where(weights < least, NEVER, weights)
        weights = np.exp(weights - weights.max(axis=-1, keepdims=True))
        totals = np.cumsum(weights, axis=-1)
        points = np.array([generators[row].random() for row in rows]) * totals[:, -1]
        return (totals <= points[:, None]).sum(axis=-1)

    return choose


def one_by_one(
    rows: TokenRows, first: Array, end: int | None, steps: int, choose: Choose
) -> list[Generated]:
    """Generate a sequence for each row, token by token; a row that has ended leaves the batch.

    first: the tokens to begin with, (rows, time).
    """
    ids: list[list[int]] = [[] for _ in first]
    chances: list[list[float]] = [[] for _ in first]
    looks: list[list[dict[str, Array]]] = [[] for _ in first]
    here, places, fed = list(range(len(first))), np.arange(len(first)), first
    for _ in range(steps):
        probabilities, attention = rows.advance(fed)
        chosen = choose(probabilities, here)
        tokens, taken = chosen.tolist(), probabilities[places, chosen].tolist()
        for place, row in enumerate(here):
            ids[row].append(tokens[place])
            chances[row].append(taken[place])
            if attention:
                looks[row].append({name: value[place] for name, value in attention.items()})
        if end is not None and end in tokens:
            going = np.flatnonzero(chosen != end)
            if not len(going):
                break
            rows.choose(going)
            here, places, chosen = [here[i] for i in going], places[: len(going)], chosen[going]
        fed = chosen[:, None]
    return list(map(partial(_generated, end), ids, chances, looks))


def _generated(
    end: int | None, ids: list[int], chances: list[float], looks: list[dict[str, Array]]
) -> Generated:
    ended = end is not None and ids[-1] == end
    kept = len(ids) - ended
    score = float(_logs(np.array(chances)).sum())
    return Generated(tuple(ids[:kept]), score, ended, _stacked(looks[:kept]))


def by_beams(
    rows: TokenRows, first: Array, end: int | None, steps: int, count: int
) -> list[Generated]:
    """Return the best sequence of each row, found by a beam search that keeps `count` sequences.

    A row is done when `count` of its sequences have ended and no unfinished one has a better score.
    """
    batch = len(first)
    rows.choose(np.repeat(np.arange(batch), count))
    paths = _Paths(batch, count)
    scores = np.full((batch, count), NEVER)
    scores[:, 0] = 0.0  # the others are copies
    here, fed = np.arange(batch), np.repeat(first, count, axis=0)
    for _ in range(steps):
        probabilities, attention = rows.advance(fed)
        tokens = probabilities.shape[-1]
        totals = (scores.reshape(-1, 1) + _logs(probabilities)).reshape(len(here), count * tokens)
        row = np.arange(len(here))[:, None]
        best = _largest(totals, row, 2 * count)
        found, origin, token = totals[row, best], best // tokens, best % tokens
        if end is not None and (token == end).any():
            ended = token == end
            paths.end(here, ended & (found > NEVER), origin, found)
            found = np.where(ended, NEVER, found)
            kept = np.argsort(ended, axis=-1, kind="stable")  # unfinished ones come first
            found, origin, token = found[row, kept], origin[row, kept], token[row, kept]
        scores, origin, token = found[:, :count], origin[:, :count], token[:, :count]
        paths.add(here, origin, token, attention)
        best_left = scores.max(axis=-1)
        going = (best_left > paths.worst[here]) & (best_left > NEVER)
        paths.left |= zip(here[~going].tolist(), scores[~going], strict=True)
        order = (row * count + origin)[going].reshape(-1)
        if going.all():
            rows.reorder(order)
        elif going.any():
            rows.choose(order)
        else:
            return paths.best()
        here, scores, fed = here[going], scores[going], token[going].reshape(-1, 1)
    paths.left |= zip(here.tolist(), scores, strict=True)
    return paths.best()


@dataclass(frozen=True)
class _Step:
    """One step of a beam search. places: the positions of the batch's rows in the arrays."""

    places: Array
    origin: Array
    token: Array
    attention: Mapping[str, Array]


class _Paths:
    """The sequences of a beam search, each stored as its last token and its predecessor.

    worst: for each row, the score that a sequence must exceed: that of the last of `count` ended
    sequences. left: the scores of unfinished sequences, by row.
    """

    def __init__(self, batch: int, count: int) -> None:
        self._count = count
        self._steps: list[_Step] = []
        self._ended: list[list[tuple[float, int, int]]] = [[] for _ in range(batch)]
        self.worst = np.full(batch, NEVER)
        self.left: dict[int, Floats] = {}

    def add(self, here: Array, origin: Array, token: Array, attention: Mapping[str, Array]) -> None:
        """Add a step. attention: of the sequences before the step."""
        places = np.full(len(self._ended), -1)
        places[here] = np.arange(len(here))
        self._steps.append(_Step(places, origin, token, attention))

    def end(self, here: Array, ended: Array, origin: Array, scores: Floats) -> None:
        """Note sequences that end with the next step."""
        for place, column in np.argwhere(ended).tolist():
            row = int(here[place])
            of_row = self._ended[row]
            score, beam = float(scores[place, column]), int(origin[place, column])
            of_row.append((score, len(self._steps), beam))
            of_row.sort(key=lambda each: -each[0])
            del of_row[self._count :]
            if len(of_row) == self._count:
                self.worst[row] = of_row[-1][0]

    def best(self) -> list[Generated]:
        """Return the best sequence of each row with the others; those without an end come last."""
        found = []
        for row, ended in enumerate(self._ended):
            last = [step for step, each in enumerate(self._steps) if each.places[row] >= 0][-1]
            every = [self._path(row, steps, beam, score, True) for score, steps, beam in ended]
            left = self.left[row]
            order = [int(i) for i in np.argsort(-left, kind="stable") if left[i] > NEVER]
            every += [self._path(row, last + 1, i, float(left[i]), False) for i in order]
            found.append(replace(every[0], others=tuple(every[1 : self._count])))
        return found

    def _path(self, row: int, steps: int, beam: int, score: float, ended: bool) -> Generated:
        """Return the tokens of the first `steps` steps that lead to a beam."""
        ids, looks = [], []
        for step in reversed(self._steps[:steps]):
            place = step.places[row]
            ids.append(int(step.token[place, beam]))
            beam = int(step.origin[place, beam])
            looks.append({n: v[place * self._count + beam] for n, v in step.attention.items()})
        return Generated(tuple(ids[::-1]), score, ended, _stacked(looks[::-1]))


def _largest(values: Floats, row: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the indices of the largest values of each row in order; the first of equals first.

    row: the index of each row, (rows, 1).
    """
    found = np.argpartition(values, -count, axis=-1)[:, -count:]
    found.sort(axis=-1)
    return found[row, np.argsort(-values[row, found], axis=-1, kind="stable")]


def _logs(probabilities: Array) -> Floats:
    with np.errstate(divide="ignore"):  # a probability of zero
        return np.log(probabilities, dtype=np.float64)


def _stacked(looks: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    return {name: np.stack([look[name] for look in looks]) for name in (looks[0] if looks else ())}
