"""Errors by step and by unit, collected while a verification runs; the plots show them.

    Observation --record--> ErrorProfiles: an ErrorProfile for each check, tensor and runtime

The size of a profile depends on its longest sequence and its units, not on the number of cases.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rnn_deploy.verifying.judge.compare import Kind, TensorPair
from rnn_deploy.verifying.judge.distance import Floats, errors
from rnn_deploy.verifying.report.observation import Observation

Key = tuple[str, str, str]  # check, tensor, runtime
TENSORFLOW = "TensorFlow"


def _empty() -> Floats:
    return np.full(0, np.nan)


@dataclass
class ErrorProfile:
    """The largest errors of one tensor on one runtime in one check, over all its cases.

    by_step: (steps,), the error of the element that used most of its budget; NaN if the step was
    not compared. budgets: (steps,), the smallest budget of such an element. by_unit: (units,), the
    largest error of each index of the last axis as a part of its budget.
    """

    kind: Kind
    by_step: Floats = field(default_factory=_empty)
    budgets: Floats = field(default_factory=_empty)
    by_unit: Floats = field(default_factory=_empty)


class ErrorProfiles:
    """All profiles, by check, tensor and runtime; TensorFlow counts as a runtime."""

    def __init__(self) -> None:
        self.profiles: dict[Key, ErrorProfile] = {}

    def record(self, observation: Observation) -> None:
        """Add the errors of one comparison, and TensorFlow's own."""
        self._add(observation, observation.tensors, observation.comparison.runtime)
        if observation.reference is not None:
            pair = TensorPair(observation.reference, observation.tensors.truth)
            self._add(observation, pair, TENSORFLOW)

    def _add(self, observation: Observation, pair: TensorPair, runtime: str) -> None:
        c, value, truth = observation.comparison, pair.actual, pair.truth
        if value.shape != truth.shape or not value.size or value.dtype.kind != "f":
            return
        profile = self.profiles.setdefault((c.check, c.name, runtime), ErrorProfile(c.kind))
        error = errors(value, truth)
        bound = observation.budget.bound
        limit = c.budget if bound is None else bound.astype(np.float64)
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
    """Return a row for each index of the time axis; one row if there is no such axis."""
    if axis is None:
        return value.reshape(1, -1)
    return np.moveaxis(value, axis, 0).reshape(value.shape[axis], -1)


def _worst(used: Floats, axis: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the index of the element in each row that used most of its budget."""
    rows = _rows(used, axis)
    return np.arange(len(rows)), rows.argmax(axis=1)


def _put(into: Floats, places: NDArray[np.int64], values: Floats, keep: np.ufunc) -> Floats:
    """Merge `values` into `into` at `places` by the function `keep`; the array grows if needed."""
    size = max(len(into), int(places.max()) + 1)
    grown = np.full(size, np.nan)
    grown[: len(into)] = into
    keep.at(grown, places, values)
    return grown
