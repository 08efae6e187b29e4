"""What is run for a golden case. A check gives tensors by name, each beside what it must be.

sequence         the sequence entry point on the whole: outputs
states           the stream entry point on the whole, from the case's initial states:
                 outputs and final states
chunked          the stream entry point in chunks, states carried; the chunking is random
step             the same, one step at a time
teacher-forced   every step from the reference's own state before it; where single steps have a
                 form of their own, by the stream's as well
hand-over        begun here, the state saved, gone on with on another runtime
reset            called twice, with other inputs in between: the second answer is the first
batch            each row alone gives what it gives in its batch
masks            rows masked at the right, at the left, in between, wholly
extremes         zeros, saturating inputs, denormals, infinities, NaN
long             one sequence of very many steps
running-bound    every state after every step, within the bound of a float32 layer (rounding.py)

Plain golden cases are for every check that takes them; those in SPECIAL have cases of their own. A
check that does not apply to a case gives nothing.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.inference.stream import Stream, run_in_chunks
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.spec import SEQUENCE, STREAM, Array, EntryPoint, chunks
from rnn_deploy.verifying.checked_runner import FilesRun

Runners = Mapping[str, Runner]
MOST_STEPS = 64  # of a sequence that is fed step by step


@dataclass(frozen=True)
class CheckSubject:
    """What is under test: a runtime's runners by entry point.

    by_stream: of the stream, which runs single steps too by the stream's own form, where there is
    another for them. partner: those of the runtime that a sequence is handed over to,
    `partner_name`. bounds: of the states of the case for `running-bound`, after each step. ran:
    what its runners ran.
    """

    runners: Runners
    by_stream: Runner | None = None
    partner: Runners = field(default_factory=dict)
    partner_name: str = ""
    bounds: Mapping[str, Array] = field(default_factory=dict)
    ran: FilesRun = field(default_factory=FilesRun)

    def takes(self, case: GoldenCase, entry: str) -> bool:
        """Whether the case can be fed to an entry point that is here."""
        return entry in case.entries and entry in self.runners

    @property
    def stream(self) -> Runner | None:
        """The runner of the stream entry point, if chunks give what the whole gives."""
        runner = self.runners.get(STREAM)
        return runner if runner is not None and runner.entry.chunked.ok else None


@dataclass(frozen=True)
class CheckResult:
    """What a run gave, by name; `expected`: what it must be, where that is not the case's truth.

    detail: how it was run, where a check runs a case more than once. bounds: what is allowed of
    each element, where that is not the tensor's budget.
    """

    values: Mapping[str, Array]
    expected: Mapping[str, Array] | None = None
    detail: str = ""
    bounds: Mapping[str, Array] = field(default_factory=dict)


Check = Callable[[CheckSubject, GoldenCase], Iterator[CheckResult]]


def _sequence(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    if subject.takes(case, SEQUENCE):
        yield CheckResult(subject.runners[SEQUENCE].run(case.feeds))


def _states(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    if subject.takes(case, STREAM):
        yield CheckResult(subject.runners[STREAM].run(case.feeds))


def _chunked(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    runner = subject.stream
    if runner is None or len(case.chunks) < 2:
        return
    for lengths in chunkings(case):
        said = "chunks of " + "+".join(map(str, lengths))
        yield CheckResult(run_in_chunks(runner, case.feeds, lengths), detail=said)


def chunkings(case: GoldenCase) -> list[tuple[int, ...]]:
    """The chunks that a case is cut into: its own, and random ones."""
    return list(dict.fromkeys((case.chunks, _random_chunks(case))))


def _step(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    runner = subject.stream
    if runner is not None and 2 <= sum(case.chunks) <= MOST_STEPS:
        yield CheckResult(run_in_chunks(runner, case.feeds, [1] * sum(case.chunks)))


def _hand_over(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    if subject.stream is not None and case.chunks:
        values = handed_over(subject, case.feeds)
        if values is not None:
            yield CheckResult(values, detail=f"gone on with on {subject.partner_name}")


def handed_over(subject: CheckSubject, feeds: Mapping[str, Array]) -> dict[str, Array] | None:
    """Half of the sequence here, the state written to a file, the rest on the partner; None where
    there is no partner, or nothing to halve."""
    begun, partner = subject.stream, subject.partner.get(STREAM)
    if begun is None or partner is None or chunks.length_of(begun.entry, feeds) < 2:
        return None
    entry, steps = begun.entry, chunks.length_of(begun.entry, feeds)
    first, second = chunks.cut(entry, feeds, [steps // 2, steps - steps // 2])
    batch = next(iter(first.values())).shape[0]
    given = {s.tensor.name: feeds.get(s.tensor.name) for s in entry.states}
    stream = Stream(begun, batch)
    stream.state = stream.state | {n: v for n, v in given.items() if v is not None}
    rest = Stream(partner, batch)
    pieces = [stream.advance(first)]
    with tempfile.TemporaryDirectory() as folder:
        stream.save(Path(folder) / "state.npz")
        rest.restore(Path(folder) / "state.npz", any_bundle=True)
    pieces.append(rest.advance(second))
    return chunks.joined(entry, pieces) | rest.finals()


def _reset(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    """The same call twice; in between, other inputs from other states."""
    for entry, runner in subject.runners.items():
        if subject.takes(case, entry):
            again, first = twice(runner, case.feeds)
            yield CheckResult(again, first, f"{entry}, called again")


def twice(runner: Runner, feeds: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """What a second call gives, after one with other inputs from other states; the first."""
    first = _copied(runner.run(feeds))
    runner.run(_others(runner.entry, feeds))
    return runner.run(feeds), first


def _batch(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    entry = STREAM if subject.takes(case, STREAM) else SEQUENCE
    if not case.rows_alone or not subject.takes(case, entry):
        return
    runner = subject.runners[entry]
    if not all(isinstance(tensor.shape[0], str) for tensor in runner.entry.all_inputs):
        return
    alone, whole = rows_alone(runner, case.feeds)
    for row in range(_batch_of(case.feeds)):
        values, expected = ({n: v[row : row + 1] for n, v in of.items()} for of in (alone, whole))
        yield CheckResult(values, expected, f"row {row} alone")


def rows_alone(
    runner: Runner, feeds: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """What every row alone gives, one below the other; what they give as a batch."""
    whole = _copied(runner.run(feeds))
    rows = [
        _copied(runner.run({name: value[row : row + 1] for name, value in feeds.items()}))
        for row in range(_batch_of(feeds))
    ]
    return {name: np.concatenate([row[name] for row in rows]) for name in whole}, whole


def _every_entry(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    """A special case at every entry point that takes it: each may be written in its own way."""
    for entry, runner in subject.runners.items():
        if subject.takes(case, entry):
            values = runner.run(case.feeds)
            if case.probes:
                values = chunks.at_steps(runner.entry, values, case.probes)
            yield CheckResult(values, detail=f"entry point {entry}")


def _teacher_forced(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    yield from _every_entry(subject, case)
    if subject.by_stream is not None and subject.takes(case, STREAM):
        yield CheckResult(
            subject.by_stream.run(case.feeds), detail="single steps by the stream's form"
        )


def _running_bound(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    runner = subject.stream
    if runner is None:
        return
    states = {state.tensor.name: state.next_name for state in runner.entry.states}
    carried = {name: case.feeds[name] for name in states if name in case.feeds}
    seen: dict[str, list[Array]] = {name: [] for name in states.values()}
    steps = [1] * chunks.length_of(runner.entry, case.feeds)
    for piece in chunks.cut(runner.entry, case.feeds, steps):
        results = runner.run(piece | carried)
        carried = {into: results[out] for into, out in states.items()}
        for name, values in seen.items():
            values.append(results[name].copy())
    yield CheckResult({n: np.stack(v) for n, v in seen.items()}, bounds=subject.bounds)


RUNNING, HAND_OVER = "running-bound", "hand-over"
CHECKS: dict[str, Check] = {
    "sequence": _sequence,
    "states": _states,
    "chunked": _chunked,
    "step": _step,
    "teacher-forced": _teacher_forced,
    HAND_OVER: _hand_over,
    "reset": _reset,
    "batch": _batch,
    "masks": _every_entry,
    "extremes": _every_entry,
    "long": _every_entry,
    RUNNING: _running_bound,
}
BASIC = ("sequence", "states", "chunked")
QUICK = ("sequence", "states", "chunked", "teacher-forced", "extremes")
# They hold a runtime to itself, or to a bound that is wide.
NOT_TO_THE_TRUTH = ("reset", "batch", RUNNING)
# Those with golden cases of their own, which no other check takes.
SPECIAL = ("teacher-forced", "masks", "extremes", "long", RUNNING)


def applies(check: str, case: GoldenCase) -> bool:
    """Whether a check takes a case at all."""
    return case.check == check if check in SPECIAL else not case.check


def _random_chunks(case: GoldenCase) -> tuple[int, ...]:
    """Lengths that make up the whole; every case has its own, the same on every run."""
    total = sum(case.chunks)
    rng = np.random.default_rng(crc32(case.name.encode()))
    cuts = np.flatnonzero(rng.random(total - 1) < 0.5) + 1
    return tuple(int(length) for length in np.diff([0, *cuts, total]))


def _others(entry: EntryPoint, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Inputs of the same shapes that are others; initial states of one."""
    batch = _batch_of(feeds)
    states = {
        state.tensor.name: np.ones(
            [dim if isinstance(dim, int) else batch for dim in state.tensor.shape],
            state.tensor.dtype,
        )
        for state in entry.states
    }
    return {name: _other(value) for name, value in feeds.items()} | states


def _other(value: Array) -> Array:
    """Another value of the same kind."""
    return value[::-1].copy() if value.dtype.kind != "f" else np.subtract(1, value)


def _batch_of(feeds: Mapping[str, Array]) -> int:
    return int(next(iter(feeds.values())).shape[0])


def _copied(values: Mapping[str, Array]) -> dict[str, Array]:
    """Values of a first call, safe from a runtime that uses its buffers again."""
    return {name: value.copy() for name, value in values.items()}
