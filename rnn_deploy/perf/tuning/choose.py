"""Choose the fewest contenders that are within a few percent of the best everywhere."""

from collections.abc import Container, Hashable, Mapping, Sequence
from math import inf, log
from typing import TypeVar

# A second artifact or a setting must gain more than this, because rounds of one run differ by it.
WORTH = 1.05
Place = TypeVar("Place", bound=Hashable)
Medians = Mapping[Place, Mapping[str, float]]


def winners(medians: Medians[Place], of_one_time: Container[str]) -> dict[Place, Sequence[str]]:
    """Return the contenders for each place; a place is an entry point at a shape.

    The last one accepts any number of steps. Before it comes the best contender that accepts only
    the place's number of steps (`of_one_time`), if it gains enough.
    """
    of_any = {
        place: {name: median for name, median in at_place.items() if name not in of_one_time}
        for place, at_place in medians.items()
    }
    chosen: dict[Place, Sequence[str]] = {}
    for place, winner in choose(of_any).items():
        at_place = medians[place]
        best = min(at_place, key=at_place.__getitem__)
        both = best in of_one_time and at_place[winner] >= WORTH * at_place[best]
        chosen[place] = (best, winner) if both else (winner,)
    return chosen


def choose(medians: Medians[Place], worth: float = WORTH) -> dict[Place, str]:
    """Choose the contender for each place, from the median of each contender there.

    Starts with the contender that is best over all places. While at some place the best chosen one
    is slower than the best of all by the factor `worth`, adds the one that gains most.
    """
    best = {place: min(at_place.values()) for place, at_place in medians.items()}

    def slowdown(place: Place, name: str) -> float:
        return medians[place].get(name, inf) / best[place]

    def total(names: list[str]) -> float:
        return sum(log(min(slowdown(place, name) for name in names)) for place in medians)

    every = list(dict.fromkeys(name for at_place in medians.values() for name in at_place))
    chosen: list[str] = []
    while not chosen or any(min(slowdown(p, n) for n in chosen) >= worth for p in medians):
        chosen.append(min((n for n in every if n not in chosen), key=lambda n: total([*chosen, n])))
    return {place: min(chosen, key=lambda name: slowdown(place, name)) for place in medians}
