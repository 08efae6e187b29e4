"""How the next token is chosen: the likeliest, one at random, or several by beam search.

The score of a sequence is the sum of the logarithms of its tokens' probabilities, under the model
itself: temperature and top_k change what is drawn and not the score.
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
    with that of the end. ended: the end was generated; otherwise `max_steps` was reached.
    attention: by output name, a row for each token. others: the other sequences of a beam search,
    best first.
    """

    ids: tuple[int, ...]
    score: float
    ended: bool
    attention: Mapping[str, Array] = field(default_factory=dict)
    others: tuple["Generated", ...] = ()


def likeliest(probabilities: Array, rows: Sequence[int]) -> Array:
    """Return the likeliest token of each row; of equal ones the first."""
    return probabilities.argmax(axis=-1)


def drawn(temperature: float, top_k: int | None, seed: int, rows: int) -> Choose:
    """Return a function that draws tokens, each row with random numbers of its own."""
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


@dataclass(frozen=True)
class _Beams:
    """The sequences of one row that go on, and those that have ended."""

    ids: tuple[tuple[int, ...], ...]
    looks: tuple[tuple[dict[str, Array], ...], ...]
    ended: tuple[Generated, ...] = ()


def by_beams(
    rows: TokenRows, first: Array, end: int | None, steps: int, count: int
) -> list[Generated]:
    """Return the best sequence of each row, found by a beam search that keeps `count` sequences.

    A row is done when `count` of its sequences have ended and none that goes on has a better score.
    """
    batch = len(first)
    rows.choose(np.repeat(np.arange(batch), count))
    beams = [_Beams(((),) * count, ((),) * count) for _ in range(batch)]
    scores = np.full((batch, count), NEVER)
    scores[:, 0] = 0.0  # the others are copies
    here, fed = np.arange(batch), np.repeat(first, count, axis=0)
    for _ in range(steps):
        probabilities, attention = rows.advance(fed)
        tokens = probabilities.shape[-1]
        totals = scores[:, :, None] + _logs(probabilities).reshape(len(here), count, tokens)
        best = _largest(totals.reshape(len(here), count * tokens), 2 * count)
        fed = np.zeros((len(here), count), np.int64)
        source = np.zeros((len(here), count), np.int64)
        going = np.ones(len(here), bool)
        for place, row in enumerate(here):
            beams[row], kept = _advanced(beams[row], totals[place], best[place], end, count,
                                         {n: v[place * count:(place + 1) * count]
                                          for n, v in attention.items()})  # fmt: skip
            scores[place], source[place], fed[place] = kept
            going[place] = not _is_done(beams[row], scores[place], count)
        if not going.any():
            break
        order = (np.arange(len(here))[:, None] * count + source)[going].reshape(-1)
        if going.all():
            rows.reorder(order)
        else:
            rows.choose(order)
        here, scores, fed = here[going], scores[going], fed[going].reshape(-1, 1)
    left = {int(row): scores[place] for place, row in enumerate(here)}
    return [_best(beams[row], left.get(row), count) for row in range(batch)]


def _advanced(
    beams: _Beams, totals: Floats, best: Array, end: int | None, count: int,
    attention: Mapping[str, Array],
) -> tuple[_Beams, tuple[list[float], list[int], list[int]]]:  # fmt: skip
    """Return the beams after one step, and score, origin and token of those that go on."""
    tokens = totals.shape[-1]
    ended = list(beams.ended)
    kept: list[tuple[float, int, int]] = []
    for index in best.tolist():
        origin, token = divmod(index, tokens)
        score = float(totals[origin, token])
        if score == NEVER:
            continue
        if token == end:
            seen = _stacked(beams.looks[origin])
            ended.append(Generated(beams.ids[origin], score, True, seen))
        elif len(kept) < count:
            kept.append((score, origin, token))
    while len(kept) < count:  # fewer continuations than beams
        kept.append((NEVER, 0, 0))
    looks = [(*beams.looks[o], {n: v[o] for n, v in attention.items()}) for _, o, _ in kept]
    ids = tuple((*beams.ids[origin], token) for _, origin, token in kept)
    ended.sort(key=lambda each: -each.score)
    scores, origins, chosen = zip(*kept, strict=True)
    after = _Beams(ids, tuple(looks), tuple(ended[:count]))
    return after, (list(scores), list(origins), list(chosen))


def _is_done(beams: _Beams, scores: Floats, count: int) -> bool:
    """Return whether nothing that goes on can become better: scores only fall."""
    return bool(
        scores.max() == NEVER
        or (len(beams.ended) == count and scores.max() <= beams.ended[-1].score)
    )


def _best(beams: _Beams, scores: Floats | None, count: int) -> Generated:
    """Return the best sequence with the others; sequences that go on count if none has ended."""
    found = list(beams.ended)
    if scores is not None:
        found += [
            Generated(beams.ids[i], float(scores[i]), False, _stacked(beams.looks[i]))
            for i in np.argsort(-scores, kind="stable")
            if scores[i] > NEVER
        ]
    return replace(found[0], others=tuple(found[1:count]))


def _largest(values: Floats, count: int) -> Array:
    """Return the indices of the largest values of each row in order, of equal ones the first."""
    count = min(count, values.shape[-1])
    found = np.argpartition(-values, count - 1, axis=-1)[:, :count]
    found.sort(axis=-1)
    order = np.argsort(-np.take_along_axis(values, found, axis=-1), axis=-1, kind="stable")
    return np.take_along_axis(found, order, axis=-1)


def _logs(probabilities: Array) -> Floats:
    with np.errstate(divide="ignore"):  # a probability of zero
        return np.log(probabilities, dtype=np.float64)


def _stacked(looks: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    return {name: np.stack([look[name] for look in looks]) for name in (looks[0] if looks else ())}
