"""Numbers of steps and rows without golden vectors; golden cases provide their true values.

    golden cases --SizeSources--> derived cases --sizes--> results with their true values

Rows      If rows are independent, any rows of a golden case have the same true values in a batch of
          any size and in any order.
Steps     If a sequence can be run in chunks, single steps of the same runtime are the true values
          for a sequence of any length; the check `step` compares them with golden vectors. If it
          cannot, the entry points `sequence` and `stream` must agree.

Both sides of a comparison by steps are rounded. The effect of rounding after so many steps is
measured on the runtime itself: by the same steps with the last bit of every input changed.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.errors import InputError
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.spec import SEQUENCE, STREAM, Array, EntryPoint, chunks
from rnn_deploy.verifying.judge.nudging import (
    Values,
    all_finite,
    largest_changes,
    nudge,
    rows_of,
    steady_values,
)
from rnn_deploy.verifying.judge.subject import CheckResult, CheckSubject
from rnn_deploy.verifying.judge.tolerance import SIZES

ROWS, STEPS, ONE_STEP = "-rows", "-lengths", "-one-step-rows"  # ends of derived cases' names
LENGTHS = (
    *(*range(1, 35), 40, 48, 49, 50, 60, 63, 64, 65, 66, 80, 96, 99, 100, 101, 120),
    *(127, 128, 129, 130, 150, 200, 250, 255, 256, 257, 258),
)
BATCHES = (*range(1, 19), 31, 32, 33, 63, 64, 65, 99, 100, 101)
LONG_CHUNK = 100  # steps


class SizeSources:
    """The golden cases from which sizes are derived, chosen while the cases are read."""

    def __init__(self, entries: Sequence[EntryPoint]) -> None:
        self._entries = {entry.name: entry for entry in entries}
        self._widest: GoldenCase | None = None
        self._longest: GoldenCase | None = None
        self._forced: GoldenCase | None = None
        self._most_steps = 0

    def note(self, case: GoldenCase) -> None:
        """Keep a case if it is the widest, the longest, or the one with single steps."""
        entry = self._entries.get(STREAM) or self._entries.get(SEQUENCE)
        if entry is None or not case.entries:
            return
        if case.steps:
            self._forced = self._forced or case
        steps = _steps_of(entry, case.feeds)
        self._most_steps = max(self._most_steps, steps)
        if case.check or any(s.tensor.name in case.feeds for s in entry.states):
            return
        if self._widest is None or rows_of(case.feeds) > rows_of(self._widest.feeds):
            self._widest = case
        if self._longest is None or steps > _steps_of(entry, self._longest.feeds):
            self._longest = case

    def cases(self) -> Iterator[GoldenCase]:
        """Yield the derived cases: many numbers of rows, then many numbers of steps."""
        for case in (c for c in (self._widest, self._forced) if c is not None):
            end = ONE_STEP if case.steps else ROWS
            yield replace(case, name=case.name + end, check=SIZES, steps=0)
        if self._longest is not None:
            entry = self._entries.get(STREAM) or self._entries[SEQUENCE]
            most = LENGTHS[-1] if entry.chunked.ok else min(self._most_steps, LENGTHS[-1])
            feeds = repeated(entry, self._longest.feeds, most)
            if feeds is not None:
                name = self._longest.name + STEPS
                yield replace(self._longest, name=name, check=SIZES, feeds=feeds)


def sizes(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    """Run a derived case at many sizes."""
    if not case.name.endswith(STEPS):
        yield from _rows(subject, case)
    elif subject.stream is not None:
        yield from _steps(subject, case, subject.stream)
    elif subject.takes(case, STREAM) and subject.takes(case, SEQUENCE):
        yield from _steps_of_both(subject, case)


def masks(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    """Run the rows of a case in other orders, so that each row is masked in every way."""
    rows = rows_of(case.feeds)
    for entry, runner in subject.runners.items():
        if subject.takes(case, entry) and runner.entry.rows.ok:
            for shift in range(1, rows):
                order = np.roll(np.arange(rows), shift)
                yield CheckResult(
                    runner.run(taken(case.feeds, order)),
                    taken(case.truth, order),
                    f"entry point {entry}, rows in an order that starts with row {order[0]}",
                    group=f"entry point {entry}, rows in {rows - 1} other orders",
                )


def steps_against_chunks(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    """Compare every step of a very long case with chunks of the same runtime."""
    runner = subject.stream
    if runner is None or not case.probes or rows_of(case.feeds) != 1:
        return
    lengths = chunks.equal_lengths(chunks.length_of(runner.entry, case.feeds), LONG_CHUNK)
    expected, rounding, finite = _joined(runner, case.feeds, lengths)
    if not finite:
        return
    subject.files_run.take()  # keep only the file that runs the whole: it is tested
    for name, other in subject.runners.items():
        if subject.takes(case, name):
            yield CheckResult(
                steady_values(other.run(case.feeds), rounding),
                expected,
                f"entry point {name}, every step, against chunks of {LONG_CHUNK}",
                rounding=rounding,
            )


def _rows(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    there = rows_of(case.feeds)
    for name, runner in _runners(subject, case):
        entry = runner.entry
        if not entry.rows.ok or entry.why_one_batch is not None:
            continue
        names = {tensor.name for tensor in entry.all_inputs}
        feeds = {n: v for n, v in case.feeds.items() if n in names}
        for rows in BATCHES:
            order = (np.arange(rows) + rows) % there
            yield CheckResult(
                runner.run(taken(feeds, order)),
                taken(case.truth, order),
                f"{name}, {rows} rows",
                group=f"{name}, {len(BATCHES)} numbers of rows",
            )


def _runners(subject: CheckSubject, case: GoldenCase) -> Iterator[tuple[str, Runner]]:
    for entry, runner in subject.runners.items():
        if subject.takes(case, entry):
            yield f"entry point {entry}", runner
    if case.name.endswith(ONE_STEP) and subject.stream_only is not None:
        yield "single steps by the stream's model file", subject.stream_only


def _steps(subject: CheckSubject, case: GoldenCase, stream: Runner) -> Iterator[CheckResult]:
    single = list(_single_steps(stream, case.feeds))
    nudged = list(_single_steps(stream, nudge(stream.entry, case.feeds)))
    subject.files_run.take()  # keep only the file that runs all steps at once: it is tested
    usable = next((t for t, r in enumerate(single) if not all_finite(r)), len(single))
    rounding: dict[str, float] = {}
    reached: list[dict[str, float]] = []
    for plain, other in zip(single[:usable], nudged[:usable], strict=True):
        rounding = {
            n: max(rounding.get(n, 0.0), e) for n, e in largest_changes(plain, other).items()
        }
        reached.append(rounding)
    finals = [state.next_name for state in stream.entry.states]
    lengths = [length for length in LENGTHS if length <= usable]
    for name, runner in subject.runners.items():
        fitting = [n for n in lengths if _takes_steps(runner.entry, stream.entry, n)]
        for length in fitting if subject.takes(case, name) else ():
            feeds = _first_steps(stream.entry, case.feeds, length)
            expected = chunks.joined(stream.entry, single[:length])
            expected |= {final: single[length - 1][final] for final in finals}
            yield CheckResult(
                steady_values(runner.run(feeds), reached[length - 1]),
                expected,
                f"entry point {name}, {length} steps, against single steps",
                rounding=reached[length - 1],
                group=f"entry point {name}, {len(fitting)} numbers of steps",
            )


def _steps_of_both(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    stream, sequence = subject.runners[STREAM], subject.runners[SEQUENCE]
    if len(stream.entry.time_symbols) != 1:
        return
    there = chunks.length_of(stream.entry, case.feeds)
    entries = sequence.entry, stream.entry
    lengths = [n for n in LENGTHS if n <= there and _takes_steps(*entries, n)]
    for length in lengths:
        feeds = _first_steps(stream.entry, case.feeds, length)
        try:
            expected = stream.run(feeds)
        except InputError:
            continue  # too few steps for this model; otherwise other checks fail
        expected = {name: value.copy() for name, value in expected.items()}
        moved = largest_changes(expected, stream.run(nudge(stream.entry, feeds)))
        if all_finite(expected):
            yield CheckResult(
                steady_values(sequence.run(feeds), moved),
                expected,
                f"{length} steps, entry point sequence against stream",
                rounding=moved,
                group=f"{len(lengths)} numbers of steps, entry point sequence against stream",
            )


def _takes_steps(entry: EntryPoint, stream: EntryPoint, steps: int) -> bool:
    """Return whether an entry point's inputs accept so many steps; its length may be fixed."""
    (time,) = stream.time_symbols
    own = {tensor.name: tensor.shape for tensor in entry.inputs}
    lengths = [own[t.name][t.shape.index(time)] for t in stream.inputs if time in t.shape]
    return all(not isinstance(length, int) or length == steps for length in lengths)


def _single_steps(stream: Runner, feeds: Values) -> Iterator[Values]:
    """Yield the results of each step, copied, since a runtime may reuse its buffers."""
    steps = [1] * chunks.length_of(stream.entry, feeds)
    yield from pieces_of(stream, feeds, steps)


def pieces_of(stream: Runner, feeds: Values, lengths: Sequence[int]) -> Iterator[Values]:
    """Yield the results of each chunk, copied, since a runtime may reuse its buffers."""
    states = {state.tensor.name: state.next_name for state in stream.entry.states}
    carried = {name: feeds[name] for name in states if name in feeds}
    for piece in chunks.cut(stream.entry, feeds, lengths):
        results = {n: v.copy() for n, v in stream.run(piece | carried).items()}
        carried = {into: results[out] for into, out in states.items()}
        yield results


def _joined(
    stream: Runner, feeds: Values, lengths: Sequence[int]
) -> tuple[dict[str, Array], dict[str, float], bool]:
    """Return the results of chunks, what rounding changes in them, and if all are finite."""
    both = []
    for each in (feeds, nudge(stream.entry, feeds)):
        pieces = list(pieces_of(stream, each, lengths))
        finals = {s.next_name: pieces[-1][s.next_name] for s in stream.entry.states}
        both.append(chunks.joined(stream.entry, pieces) | finals)
    return both[0], largest_changes(*both), all_finite(both[0])


def _first_steps(entry: EntryPoint, feeds: Values, steps: int) -> dict[str, Array]:
    rest = chunks.length_of(entry, feeds) - steps
    return next(iter(chunks.cut(entry, feeds, [steps, rest] if rest else [steps])))


def repeated(entry: EntryPoint, feeds: Values, steps: int) -> dict[str, Array] | None:
    """Return the inputs, repeated along time to so many steps; None if time cannot be cut."""
    if len(entry.time_symbols) != 1:
        return None
    (time,) = entry.time_symbols
    longer = {}
    for tensor in entry.inputs:
        value = feeds[tensor.name]
        if time in tensor.shape:
            axis = tensor.shape.index(time)
            value = np.take(value, np.arange(steps) % value.shape[axis], axis=axis)
        longer[tensor.name] = value
    return longer


def _steps_of(entry: EntryPoint, feeds: Values) -> int:
    if len(entry.time_symbols) != 1 or any(t.name not in feeds for t in entry.inputs):
        return 0
    return chunks.length_of(entry, feeds)


def taken(values: Values, rows: Iterable[int]) -> dict[str, Array]:
    """Return these rows of every array."""
    return {name: np.take(value, list(rows), axis=0) for name, value in values.items()}
