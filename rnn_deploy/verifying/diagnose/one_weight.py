"""Find the single wrong weight of a layer that explains the values of a runtime.

In single steps, one wrong weight changes one unit. Newton's method finds, for every row, what must
be added to a gate of that unit. If this is the same multiple of one input, one state or the bias in
every row, then the weight of that input, state or bias is wrong by that multiple.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rnn_deploy.numerics.cells import Float, LayerRun, one_step
from rnn_deploy.spec import Array, RecurrentLayer
from rnn_deploy.verifying.diagnose.suspects import GATES

_NUDGE = 1e-6
_ROUNDS = 25


@dataclass(frozen=True)
class SuspectWeight:
    """A weight by its array and index, with its right and its suspected wrong value."""

    array: str
    index: tuple[int, ...]
    right: float
    wrong: float

    @property
    def description(self) -> str:
        """The weight in words; a flipped bit of a float32 is recognised."""
        place = f"{self.array}[{', '.join(map(str, self.index))}]"
        bit = _flipped_bit(self.right, self.wrong)
        if bit is None:
            return f"one weight differs: {place} is {self.wrong:.6g} instead of {self.right:.6g}"
        flipped = _with_bit(self.right, bit)
        return (
            f"one weight differs in one bit: {place} is {flipped:.6g} instead of {self.right:.6g}"
            f" (bit {bit} of its float32 is flipped)"
        )


def suspect_weights(
    true: LayerRun, found: Sequence[Array], budget: float
) -> Iterator[tuple[SuspectWeight, LayerRun]]:
    """Yield candidates, best first, each with the call that has that wrong weight."""
    (layer,) = true.layers
    if true.x.shape[1] != 1:
        return
    gaps = [np.abs(f - t).max(axis=0) for f, t in zip(found, true.after, strict=False)]
    units = np.flatnonzero(np.max(gaps, axis=0) > budget)
    if len(units) != 1:
        return
    unit = int(units[0])
    columns = _columns(true)
    for gate in range(len(GATES[layer.cell])):
        column = gate * layer.units + unit
        for recurrent in (False, True) if layer.reset_after else (False,):
            missing = _missing(true, found, column, unit, recurrent)
            for array, row, values in columns:
                if not _is_in_sum(array, recurrent, layer):
                    continue
                by = _multiple(missing, values)
                if by is not None:
                    yield _altered(
                        true, array, int(recurrent) if array == "bias" else row, column, by
                    )


def _is_in_sum(array: str, recurrent: bool, layer: RecurrentLayer) -> bool:
    """Return whether a weight is part of the sum in question; a GRU may have two sums."""
    return array == "bias" or not layer.reset_after or (array == "recurrent_kernel") == recurrent


def _columns(true: LayerRun) -> list[tuple[str, int, Float]]:
    """Return the factor of each weight of a gate's unit, in every row of the batch."""
    x, h = true.x[:, 0].astype(np.float64), true.before[0].astype(np.float64)
    return [
        *(("kernel", i, x[:, i]) for i in range(x.shape[1])),
        *(("recurrent_kernel", i, h[:, i]) for i in range(h.shape[1])),
        ("bias", 0, np.ones(len(x))),
    ]


def _missing(
    true: LayerRun, found: Sequence[Array], column: int, unit: int, recurrent: bool
) -> Float:
    """Return what must be added to one gate of one unit in each row.

    NaN if no value works, and where the step is masked, since weights have no effect there.
    """
    (layer,) = true.layers
    x = true.x[:, 0].astype(np.float64)
    before = tuple(state.astype(np.float64) for state in true.before)
    wanted = found[0][:, unit].astype(np.float64)

    def with_nudge(nudge: Float) -> Float:
        nudges = [np.zeros((len(x), layer.kernel.shape[1])) for _ in range(2)]
        nudges[recurrent][:, column] = nudge
        return one_step(layer, x, before, nudges=(nudges[0], nudges[1]))[0][:, unit]

    nudge = np.zeros(len(x))
    with np.errstate(all="ignore"):
        for _ in range(_ROUNDS):
            slope = (with_nudge(nudge + _NUDGE) - with_nudge(nudge - _NUDGE)) / (2 * _NUDGE)
            nudge = nudge - np.clip((with_nudge(nudge) - wanted) / slope, -1.0, 1.0)
        near = np.abs(with_nudge(nudge) - wanted) < 1e-6
    counts = np.ones(len(x), bool) if true.mask is None else true.mask[:, 0]
    return np.where(near & counts, nudge, np.nan)


def _multiple(missing: Float, values: Float) -> float | None:
    """Return the factor by which `missing` is a multiple of `values`, if it is one."""
    known = np.isfinite(missing)
    if known.sum() < 3 or not np.any(values[known]):
        return None
    m, v = missing[known], values[known]
    large = np.abs(v) >= np.median(np.abs(v))
    by = float(np.median(m[large] / v[large]))
    rest = np.abs(m - by * v)
    return by if np.median(rest) < 1e-3 * np.median(np.abs(m)) + 1e-7 else None


def _altered(
    true: LayerRun, array: str, row: int, column: int, by: float
) -> tuple[SuspectWeight, LayerRun]:
    (layer,) = true.layers
    weights = getattr(layer, array)
    if weights is None:
        weights = np.zeros(layer.kernel.shape[1])
    index = (row, column) if weights.ndim == 2 else (column,)
    changed = weights.astype(np.float64).copy()
    changed[index] += by
    weight = SuspectWeight(array, index, float(weights[index]), float(changed[index]))
    altered: RecurrentLayer = replace(layer, **{array: changed})
    return weight, replace(true, layers=(altered,))


def _with_bit(value: float, bit: int) -> float:
    bits = np.array([value], np.float32).view(np.uint32) ^ np.uint32(1 << bit)
    return float(bits.view(np.float32)[0])


def _flipped_bit(right: float, wrong: float) -> int | None:
    """Return the single bit of float32 in which two numbers approximately differ, or None."""
    near = [
        (abs(flipped - wrong), bit)
        for bit in range(32)
        if np.isfinite(flipped := _with_bit(right, bit))
    ]
    distance, bit = min(near)
    return bit if distance <= 1e-3 * abs(wrong - right) else None
