"""From medians to winners: as few contenders as are within a few percent of the best everywhere."""

from collections.abc import Container, Hashable, Mapping, Sequence
from math import inf, log
from typing import TypeVar

# A second artifact, or a setting, that gains less than this is not worth having: rounds of one run
# differ by as much.
WORTH = 1.05
Place = TypeVar("Place", bound=Hashable)
Medians = Mapping[Place, Mapping[str, float]]


def winners(medians: Medians[Place], of_one_time: Container[str]) -> dict[Place, Sequence[str]]:
    """The contenders for each place: one that takes any number of steps, and before it, where that
    is worth having, the best of those that take the place's alone."""
    of_any = {
        place: {name: median for name, median in taken.items() if name not in of_one_time}
        for place, taken in medians.items()
    }
    chosen: dict[Place, Sequence[str]] = {}
    for place, winner in choose(of_any).items():
        taken = medians[place]
        best = min(taken, key=taken.__getitem__)
        alone = best in of_one_time and taken[winner] >= WORTH * taken[best]
        chosen[place] = (best, winner) if alone else (winner,)
    return chosen


def choose(medians: Medians[Place], worth: float = WORTH) -> dict[Place, str]:
    """The contender for each place, where `medians` holds what each contender took there.

    Begins with the one that is best on the whole; takes in another, the one that gains most, while
    somewhere the best of those taken is slower than the best of all by `worth`.
    """
    best = {place: min(taken.values()) for place, taken in medians.items()}

    def lost(place: Place, name: str) -> float:
        return medians[place].get(name, inf) / best[place]

    def total(names: list[str]) -> float:
        return sum(log(min(lost(place, name) for name in names)) for place in medians)

    every = list(dict.fromkeys(name for taken in medians.values() for name in taken))
    taken: list[str] = []
    while not taken or any(min(lost(p, n) for n in taken) >= worth for p in medians):
        taken.append(min((n for n in every if n not in taken), key=lambda n: total([*taken, n])))
    return {place: min(taken, key=lambda name: lost(place, name)) for place in medians}
