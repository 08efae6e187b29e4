"""What quantisation costs, measured on export, and the budget that follows from it.

For each output and state, over all cases, with t the oracle's values and e the error:

    SNR = 10 log10( sum t^2 / sum e^2 )   dB

Verification then allows a quantised artifact, in place of float32's budget where that is smaller,

    budget = MARGIN * (the largest error measured on export)

A machine may round an activation to the other neighbour, and other inputs meet other values, so
the largest error elsewhere lies near the one measured, not at it. What is noisier than FLOOR was
destroyed, not quantised: it gets no wider budget and fails.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rnn_deploy.bundle import Bundle, Case
from rnn_deploy.bundle.manifest import Cost, Quantisation
from rnn_deploy.runtimes.base import Runner, RunOptions, Runtime
from rnn_deploy.runtimes.registry import RUNTIMES
from rnn_deploy.runtimes.stream import run_in_chunks
from rnn_deploy.spec import SEQUENCE, STREAM, Array
from rnn_deploy.verifying.compare import errors

MARGIN = 3.0
FLOOR = 10.0  # dB


@dataclass
class _Sums:
    """What is summed up for one tensor."""

    kind: str
    signal: float = 0.0
    noise: float = 0.0
    max_abs: float = 0.0
    labels: int = 0
    changed: int = field(default=0)


def appraise(bundle: Bundle, cases: Sequence[Case]) -> tuple[tuple[Cost, ...], tuple[str, ...]]:
    """The cost of a quantised bundle on the first runtime for its format, and what to warn of.

    cases: golden vectors and, where given, calibration data, each with its truth.
    """
    quantisation = bundle.manifest.quantisation
    assert quantisation is not None
    runtime = next(r for r in RUNTIMES.values() if r.format == quantisation.format)
    costs = costs_of(bundle, runtime, cases)
    return costs, tuple(_warning(cost) for cost in costs if _below_floor(cost))


def costs_of(bundle: Bundle, runtime: Runtime, cases: Iterable[Case]) -> tuple[Cost, ...]:
    """What each output and state lost on `runtime`, by every way there is to run it."""
    states = {s.next_name for entry in bundle.manifest.entries for s in entry.states}
    sums: dict[str, _Sums] = {}
    runners = {
        entry.name: runtime.load(bundle, RunOptions(entry.name))
        for entry in bundle.manifest.entries
    }
    try:
        for case in cases:
            for entry, results in _results(runners, case):
                for name, value in results.items():
                    kind = "state" if name in states else "output"
                    summed = sums.setdefault(name, _Sums(kind))
                    _add(summed, value, case.truth[name], count=entry == SEQUENCE)
    finally:
        for runner in runners.values():
            runner.close()
    return tuple(_cost(name, summed) for name, summed in sums.items())


def noise_budgets(quantisation: Quantisation | None, format: str) -> dict[str, float]:
    """The budget of each output and state of an artifact of `format`; empty in float32."""
    if quantisation is None or quantisation.format != format:
        return {}
    costs = (cost for cost in quantisation.costs if not _below_floor(cost))
    return {cost.tensor: MARGIN * cost.max_abs for cost in costs}


def _results(
    runners: Mapping[str, Runner], case: Case
) -> Iterator[tuple[str, Mapping[str, Array]]]:
    """What a case gives by each entry point it fits, whole, and in chunks."""
    for entry, runner in runners.items():
        if entry in case.entries:
            yield entry, runner.run(case.feeds)
    if STREAM in runners and len(case.chunks) > 1 and runners[STREAM].entry.chunked.ok:
        yield STREAM, run_in_chunks(runners[STREAM], case.feeds, case.chunks)


def _add(summed: _Sums, value: Array, truth: Array, *, count: bool) -> None:
    error = errors(value, truth) if value.shape == truth.shape else np.array(np.inf)
    summed.signal += float(np.sum(np.square(truth.astype(np.float64))))
    summed.noise += float(np.sum(np.square(error)))
    summed.max_abs = max(summed.max_abs, float(error.max(initial=0.0)))
    classes = summed.kind == "output" and truth.ndim > 1 and truth.shape[-1] > 1
    if count and classes and truth.dtype.kind == "f":
        changed = value.argmax(axis=-1) != truth.argmax(axis=-1)
        summed.labels += changed.size
        summed.changed += int(changed.sum())


def _cost(name: str, summed: _Sums) -> Cost:
    snr = _decibels(summed.signal, summed.noise)
    return Cost(name, summed.kind, snr, summed.max_abs, summed.labels, summed.changed)


def _decibels(signal: float, noise: float) -> float | None:
    if noise == 0:
        return None
    ratio = signal / noise
    return round(10 * math.log10(ratio), 2) if 0 < ratio < math.inf else -300.0


def _below_floor(cost: Cost) -> bool:
    return cost.snr_db is not None and cost.snr_db < FLOOR


def _warning(cost: Cost) -> str:
    return (
        f"{cost.kind} '{cost.tensor}' keeps {cost.snr_db:.1f} dB of signal over noise, less than"
        f" the {FLOOR:g} dB below which verification fails; calibrate with data like the real, or"
        " quantise less"
    )
