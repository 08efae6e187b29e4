"""Measure all contenders over all shapes, each in its own process, in turns.

For each shape every contender starts a new process, so that start-up, first call and peak memory
are not affected by other work. The outputs of all contenders are compared with those of the first,
since a fast wrong result is useless.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np

from rnn_deploy.bundle.manifest import LoweringChoice
from rnn_deploy.errors import RnnDeployError
from rnn_deploy.perf.bench.contender import Contender
from rnn_deploy.perf.bench.feeds import feeds_of
from rnn_deploy.perf.bench.limits import SpeedLimits, limits_of
from rnn_deploy.perf.bench.measure import TURNS, CallLatency, Timed, TurnTaking, in_rounds, timed
from rnn_deploy.perf.bench.worker import ContenderServer
from rnn_deploy.spec import Array, EntryPoint
from rnn_deploy.spec.shapes import Shape
from rnn_deploy.workers.process import WorkerProcess

Progress = Callable[[str], None]
TIME_LIMIT = 300.0  # seconds that one answer of a contender's process may take


@dataclass(frozen=True)
class BenchResult:
    """One contender at one shape; `failure` is the reason if there are no figures.

    startup_ms: from the start of the process to a loaded model. first_ms: the first call.
    peak_bytes: memory of the whole process, None if unknown. difference: the largest difference
    from the first contender's outputs, None for the first. of_limit: the smallest possible time of
    the recurrences, as a part of its time; None if unknown.
    """

    shape: Shape
    contender: str
    timing: CallLatency | None = None
    startup_ms: float = 0.0
    first_ms: float = 0.0
    peak_bytes: int | None = None
    difference: float | None = None
    failure: str | None = None
    of_limit: float | None = None

    @property
    def per_second(self) -> float:
        """Return the sequences per second."""
        return 0.0 if self.timing is None else self.shape.batch / self.timing.median_us * 1e6


@dataclass(frozen=True)
class _StartedContender:
    """A contender after its first call."""

    process: WorkerProcess
    outputs: list[Array]
    startup_ns: int
    first_ns: int


def side_by_side(
    contenders: Sequence[Contender],
    shapes: Sequence[Shape],
    entry: EntryPoint,
    *,
    seconds: float,
    turns: TurnTaking = TURNS,
    layers: Sequence[LoweringChoice] = (),
    progress: Progress = lambda step: None,
) -> list[BenchResult]:
    """Measure contenders for about `seconds` each and shape; return results in their order.

    layers: the recurrent layers whose speed limits are measured beside them.
    """
    results: list[BenchResult] = []
    for shape in shapes:
        fitting = [c for c in contenders if c.fits(shape)]
        limits = limits_of(layers, shape)
        measure = partial(in_rounds, seconds=seconds, turns=turns)
        results += _at(shape, fitting, entry, limits, measure, progress)
    return results


def _at(
    shape: Shape, contenders: Sequence[Contender], entry: EntryPoint, limits: SpeedLimits | None,
    measure: Callable[[Mapping[str, Timed]], dict[str, CallLatency]], progress: Progress,
) -> list[BenchResult]:  # fmt: skip
    failures: dict[str, str] = {}
    started: dict[str, _StartedContender] = {}
    with ExitStack() as stack:
        feeds = feeds_of(entry, shape)
        for contender in contenders:
            progress(f"{shape}: starting {contender.name}")
            try:
                started[contender.name] = _start(contender, feeds, stack)
            except RnnDeployError as error:
                failures[contender.name] = str(error)
        progress(f"{shape}: measuring {len(started)} side by side")
        calls: dict[str, Timed] = {
            name: partial(_calls, name, s.process, failures) for name, s in started.items()
        }
        calls |= {name: timed(call) for name, call in limits.calls().items()} if limits else {}
        timings = measure(calls)
        peaks = {n: s.process.ask("peak_bytes") for n, s in started.items() if n in timings}
    first = next((name for name in timings if name in started), None)
    results = []
    for name in (contender.name for contender in contenders):
        if name in failures:
            results.append(BenchResult(shape, name, failure=failures[name]))
            continue
        own = started[name]
        distance = None if name == first else difference(started[str(first)].outputs, own.outputs)
        startup, called = own.startup_ns / 1e6, own.first_ns / 1e6
        share = None if limits is None else limits.share(timings, name)
        figures = (timings[name], startup, called, peaks[name], distance, None, share)
        results.append(BenchResult(shape, name, *figures))
    return results


def _start(contender: Contender, feeds: Mapping[str, Array], stack: ExitStack) -> _StartedContender:
    start = time.perf_counter_ns()
    process = stack.enter_context(WorkerProcess(ContenderServer, time_limit=TIME_LIMIT))
    process.ask("load", contender)
    startup_ns = time.perf_counter_ns() - start
    first_ns, outputs = process.ask("first", feeds)
    return _StartedContender(process, outputs, startup_ns, first_ns)


def _calls(name: str, process: WorkerProcess, failures: dict[str, str], count: int) -> list[int]:
    if name in failures:
        return []
    try:
        return list(process.ask("calls", count))
    except RnnDeployError as error:
        failures[name] = str(error)
        return []


def difference(expected: Sequence[Array], found: Sequence[Array]) -> float:
    """Return the largest difference; infinite if shapes differ or NaN are at different places."""
    if [a.shape for a in expected] != [a.shape for a in found]:
        return float("inf")
    apart = [_apart(a.astype(np.float64), b.astype(np.float64))
             for a, b in zip(expected, found, strict=True)]  # fmt: skip
    return max(apart, default=0.0)


def _apart(a: Array, b: Array) -> float:
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return float("inf")
    same = (a == b) | np.isnan(a)
    return float(np.max(np.abs(np.where(same, 0, a) - np.where(same, 0, b)), initial=0.0))
