"""Errors over time and by unit, reduced while verification streams: what the plots show.

    Observation --record--> Profiles: a Profile for each check, tensor and runtime

A profile's size is that of its longest sequence and its units, whatever the number of cases.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rnn_deploy.spec import Array
from rnn_deploy.verifying.judge.compare import Kind, errors
from rnn_deploy.verifying.report.evidence import Observation

Floats = NDArray[np.float64]
Key = tuple[str, str, str]  # check, tensor, runtime
TENSORFLOW = "TensorFlow"


def _empty() -> Floats:
    return np.full(0, np.nan)


@dataclass
class ErrorProfile:
    """The largest errors of one tensor on one runtime in one check, over all its cases.

    by_step: after each step (NaN: not looked at), of the element that used most of its budget.
    budgets: the least budget of such an element there. by_unit: of each place of the last axis, as
    a part of the budget.
    """

    kind: Kind
    by_step: Floats = field(default_factory=_empty)
    budgets: Floats = field(default_factory=_empty)
    by_unit: Floats = field(default_factory=_empty)


class ErrorProfiles:
    """All profiles, by check, tensor and runtime; TensorFlow's own among the runtimes."""

    def __init__(self) -> None:
        self.found: dict[Key, ErrorProfile] = {}

    def record(self, observation: Observation) -> None:
        """Take one comparison's errors in, and TensorFlow's own beside them."""
        self._take(observation, observation.actual, observation.comparison.runtime)
        if observation.reference is not None:
            self._take(observation, observation.reference, TENSORFLOW)

    def _take(self, observation: Observation, value: Array, runtime: str) -> None:
        c, truth = observation.comparison, observation.truth
        if value.shape != truth.shape or not value.size or value.dtype.kind != "f":
            return
        profile = self.found.setdefault((c.check, c.name, runtime), ErrorProfile(c.kind))
        error = errors(value, truth)
        limit = c.budget if observation.bound is None else observation.bound.astype(np.float64)
        allowed = np.broadcast_to(limit, error.shape)
        used = np.divide(error, allowed, out=np.full(error.shape, np.inf), where=allowed > 0)
        used[error == 0] = 0
        axis = observation.time_axis
        steps, places = np.array(observation.steps), _worst(used, axis)
        by_step, budgets = (_rows(part, axis)[places] for part in (error, allowed))
        profile.by_step = _put(profile.by_step, steps, by_step, np.fmax)
        profile.budgets = _put(profile.budgets, steps, budgets, np.fmin)
        units = used.reshape(-1, used.shape[-1] if used.ndim > 1 else 1).max(axis=0)
        profile.by_unit = _put(profile.by_unit, np.arange(len(units)), units, np.fmax)


def _rows(value: Floats, axis: int | None) -> Floats:
    """A row for each place of the axis over time; all in one where there is none."""
    if axis is None:
        return value.reshape(1, -1)
    return np.moveaxis(value, axis, 0).reshape(value.shape[axis], -1)


def _worst(used: Floats, axis: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """In each row the element that used most of its budget."""
    rows = _rows(used, axis)
    return np.arange(len(rows)), rows.argmax(axis=1)


def _put(into: Floats, places: NDArray[np.int64], values: Floats, keep: np.ufunc) -> Floats:
    """`values` at `places`, those kept that `keep` prefers; grown where needed."""
    size = max(len(into), int(places.max()) + 1)
    grown = np.full(size, np.nan)
    grown[: len(into)] = into
    keep.at(grown, places, values)
    return grown
