"""Errors over time and by unit, reduced while verification streams: what the plots show.

    Observation --record--> Profiles: a Profile for each check, tensor and runtime

A profile's size is that of its longest sequence and its units, whatever the number of cases.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rnn_deploy.spec import Array
from rnn_deploy.verifying.compare import Kind, errors
from rnn_deploy.verifying.evidence import Observation

Floats = NDArray[np.float64]
Key = tuple[str, str, str]  # check, tensor, runtime
TENSORFLOW = "TensorFlow"


def _empty() -> Floats:
    return np.full(0, np.nan)


@dataclass
class Profile:
    """The largest errors of one tensor on one runtime in one check, over all its cases.

    by_step: after each step (NaN: not looked at). budgets: the least budget there. by_unit: of
    each place of the last axis, as a part of the budget; infinite where shapes differ.
    """

    kind: Kind
    by_step: Floats = field(default_factory=_empty)
    budgets: Floats = field(default_factory=_empty)
    by_unit: Floats = field(default_factory=_empty)


class Profiles:
    """All profiles, by check, tensor and runtime; TensorFlow's own among the runtimes."""

    def __init__(self) -> None:
        self.found: dict[Key, Profile] = {}

    def record(self, observation: Observation) -> None:
        """Take one comparison's errors in, and TensorFlow's own beside them."""
        self._take(observation, observation.actual, observation.comparison.runtime)
        if observation.reference is not None:
            self._take(observation, observation.reference, TENSORFLOW)

    def _take(self, observation: Observation, value: Array, runtime: str) -> None:
        c = observation.comparison
        if value.shape != observation.truth.shape or not value.size or value.dtype.kind != "f":
            return
        profile = self.found.setdefault((c.check, c.name, runtime), Profile(c.kind))
        error = errors(value, observation.truth)
        steps = np.array(observation.steps)
        axis = observation.time_axis
        over = tuple(i for i in range(error.ndim) if i != axis)
        by_step = error.max(axis=over).reshape(-1)
        profile.by_step = _put(profile.by_step, steps, by_step, np.fmax)
        budget = np.full(len(steps), c.budget)
        profile.budgets = _put(profile.budgets, steps, budget, np.fmin)
        by_unit = (
            error.max(axis=tuple(range(error.ndim - 1))).reshape(-1) if error.ndim > 1 else error
        )
        used = np.where(by_unit == 0, 0.0, by_unit / c.budget if c.budget else np.inf)
        profile.by_unit = _put(profile.by_unit, np.arange(len(used)), used, np.fmax)


def _put(into: Floats, places: NDArray[np.int64], values: Floats, keep: np.ufunc) -> Floats:
    """`values` at `places`, those kept that `keep` prefers; grown where needed."""
    size = max(len(into), int(places.max()) + 1)
    grown = np.full(size, np.nan)
    grown[: len(into)] = into
    keep.at(grown, places, values)
    return grown
