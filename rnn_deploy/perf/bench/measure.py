"""Measure the latency of several contenders in one run.

Machines are shared and noisy, so contenders take turns: in every round each is called a few times,
and the figures are over all rounds. A disturbance then affects all of them equally.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# Calls a contender `count` times and returns the nanoseconds of each call.
Timed = Callable[[int], Sequence[int]]


@dataclass(frozen=True)
class TurnTaking:
    """The way in which contenders take turns.

    settling: how long a contender runs before it is timed, as a multiple of its turn.
    """

    rounds: int
    settling: float = 0.0


TURNS = TurnTaking(20)
# A virtual machine may give a process another core only after a tenth of a second of work.
LONG_TURNS = TurnTaking(3, settling=1.5)


@dataclass(frozen=True)
class CallLatency:
    """Latency of one call in microseconds, over `calls` calls.

    by_round: the median of each round; the other contenders had their turns in the same round.
    """

    median_us: float
    p95_us: float
    min_us: float
    calls: int
    by_round: tuple[float, ...] = ()


def measure(
    contenders: Mapping[str, Callable[[], object]], *, seconds: float = 1.0
) -> dict[str, CallLatency]:
    """Time each contender for about `seconds`, after a warm-up, in interleaved rounds."""
    return in_rounds({name: timed(call) for name, call in contenders.items()}, seconds=seconds)


def in_rounds(
    contenders: Mapping[str, Timed], *, seconds: float, turns: TurnTaking = TURNS
) -> dict[str, CallLatency]:
    """Do the same for contenders that time themselves; omit one that returns no times."""
    turn = seconds / turns.rounds
    counts = {name: _calls_per_turn(call, turn) for name, call in contenders.items()}
    times: dict[str, list[Sequence[int]]] = {name: [] for name in contenders}
    for _ in range(turns.rounds):
        for name, call in contenders.items():
            if turns.settling:
                call(math.ceil(turns.settling * counts[name]))
            times[name].append(call(counts[name]))
    return {name: timing(rounds) for name, rounds in times.items() if all(rounds)}


def timed(call: Callable[[], object]) -> Timed:
    """Return a call that times itself."""
    return lambda calls: [_timed(call) for _ in range(calls)]


def timing(rounds: Sequence[Sequence[int]]) -> CallLatency:
    """Return the figures for the nanoseconds of each call in each round."""
    us = np.concatenate([np.asarray(times) for times in rounds]) / 1e3
    by_round = tuple(float(np.median(times)) / 1e3 for times in rounds)
    return CallLatency(
        float(np.median(us)), float(np.percentile(us, 95)), float(us.min()), len(us), by_round
    )


def ratio(one: CallLatency, other: CallLatency) -> float:
    """Return how many times as long `one` took as `other`: the median over the rounds."""
    return float(np.median(np.asarray(one.by_round) / np.asarray(other.by_round)))


def _calls_per_turn(call: Timed, seconds: float) -> int:
    """Warm up; return how many calls fit into `seconds`."""
    end = time.perf_counter() + seconds
    times = list(call(3))
    while times and time.perf_counter() < end:
        times += call(1)
    return max(1, int(seconds * 1e9 / max(1.0, float(np.median(times))))) if times else 1


def _timed(call: Callable[[], object]) -> int:
    start = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - start
