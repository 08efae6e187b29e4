"""Latency of several things in one run.

Machines are shared and noisy, so the contenders take turns: in every round each is called a few
times, and the figures are over all rounds. What disturbs one disturbs the others too.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

ROUNDS = 20


@dataclass(frozen=True)
class Timing:
    """Latency of one call in microseconds, over `calls` calls."""

    median_us: float
    p95_us: float
    min_us: float
    calls: int


def measure(
    contenders: Mapping[str, Callable[[], object]], *, seconds: float = 1.0
) -> dict[str, Timing]:
    """Time each contender for about `seconds`, after a warm-up, in interleaved rounds."""
    counts = {name: _calls_per_round(call, seconds / ROUNDS) for name, call in contenders.items()}
    times: dict[str, list[int]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, call in contenders.items():
            times[name] += [_timed(call) for _ in range(counts[name])]
    return {name: _timing(taken) for name, taken in times.items()}


def _calls_per_round(call: Callable[[], object], seconds: float) -> int:
    """Warm up, and how many calls fit into `seconds`."""
    end = time.perf_counter() + seconds
    taken = [_timed(call) for _ in range(3)]
    while time.perf_counter() < end:
        taken.append(_timed(call))
    return max(1, int(seconds * 1e9 / max(1.0, float(np.median(taken)))))


def _timed(call: Callable[[], object]) -> int:
    start = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - start


def _timing(taken: list[int]) -> Timing:
    us = np.asarray(taken) / 1e3
    return Timing(float(np.median(us)), float(np.percentile(us, 95)), float(us.min()), len(taken))
