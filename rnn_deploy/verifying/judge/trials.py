"""How each check is tried on a part of a case, so that the part can be made smaller.

    check, case --trials_of--> a Trial for each way it may have failed --of a Part--> Tried

Checks that hold a runtime to the truth need what is true of the part (`parts.py`); those that hold
it to itself (`reset`, `batch`) need nothing but the runtime.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.inference.stream import run_in_chunks
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.spec import SEQUENCE, STREAM, Array, EntryPoint, chunks
from rnn_deploy.verifying.judge.checks import (
    HAND_OVER,
    CheckSubject,
    chunkings,
    handed_over,
    rows_alone,
    twice,
)
from rnn_deploy.verifying.judge.parts import CasePart, CaseParts, Run

Values = Mapping[str, Array]


@dataclass(frozen=True)
class TrialResult:
    """What a part gave and what it must be, by name. steps: those that tensors over time hold,
    where these are not all of the part's."""

    values: Values
    truth: Values
    steps: tuple[int, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One way to run parts of a case.

    of: gives None for a part that it cannot run, or of which nothing is known. runner: what it
    runs on. rows: the fewest it needs. stops: numbers of steps at which most is known, where these
    are not all.
    """

    parts: CaseParts
    of: Callable[[CasePart], TrialResult | None]
    runner: Runner
    rows: int = 1
    stops: tuple[int, ...] = ()


def trials_of(
    check: str,
    subject: CheckSubject,
    case: GoldenCase,
    single: GoldenCase | None,
    oracle: Run | None,
) -> Iterator[Trial]:
    """The ways in which `check` runs a case, those that show states first."""
    names = (SEQUENCE,) if check == SEQUENCE else (STREAM, SEQUENCE)
    for runner in (subject.runners[name] for name in names if subject.takes(case, name)):
        parts = CaseParts(case, _entry(subject, runner), single, oracle)
        if check in ("sequence", "states", "teacher-forced", "masks", "extremes"):
            yield held_to_truth(parts, runner, runner.run)
        elif check == "long":
            yield as_known(parts, runner)
        elif check == "reset":
            yield _held_to_itself(parts, runner, partial(twice, runner))
        elif check == "batch":
            yield _held_to_itself(parts, runner, partial(rows_alone, runner), 2)
        if check == "teacher-forced" and runner.entry.name == STREAM and subject.by_stream:
            yield held_to_truth(parts, subject.by_stream, subject.by_stream.run)
        if runner.entry.name == STREAM and runner.entry.chunked.ok:
            yield from _in_pieces(check, subject, parts, runner)


def _in_pieces(
    check: str, subject: CheckSubject, parts: CaseParts, runner: Runner
) -> Iterator[Trial]:
    """Checks that carry the state from piece to piece."""
    if check == "step":
        yield held_to_truth(parts, runner, partial(_by, runner, [1]))
    for lengths in chunkings(parts.case) if check == "chunked" else ():
        yield held_to_truth(parts, runner, partial(_by, runner, lengths))
    if check == HAND_OVER:
        yield held_to_truth(parts, runner, partial(handed_over, subject))


def held_to_truth(
    parts: CaseParts, runner: Runner, run: Callable[[Values], Values | None]
) -> Trial:
    """Parts as `run` runs them, beside what is true of them."""

    def tried(part: CasePart) -> TrialResult | None:
        feeds, truth = parts.feeds(part), parts.truth(part)
        if feeds is None or not truth:
            return None
        values = run(feeds)
        return None if values is None else TrialResult(values, truth)

    return Trial(parts, tried, runner)


def as_known(parts: CaseParts, runner: Runner) -> Trial:
    """Parts beside what is true of them, of a very long case at the steps at which that is kept."""
    if parts.case.probes:
        return _seen_at_some_steps(parts, runner)
    return held_to_truth(parts, runner, runner.run)


def _held_to_itself(
    parts: CaseParts, runner: Runner, run: Callable[[Values], tuple[Values, Values]], rows: int = 1
) -> Trial:
    def tried(part: CasePart) -> TrialResult | None:
        feeds = parts.feeds(part)
        return None if feeds is None or len(part.rows) < rows else TrialResult(*run(feeds))

    return Trial(parts, tried, runner, rows)


def _seen_at_some_steps(parts: CaseParts, runner: Runner) -> Trial:
    """Of a very long case the truth is known at a few steps; in between by an oracle alone."""
    case, entry = parts.case, parts.entry
    between = held_to_truth(parts, runner, runner.run)

    def tried(part: CasePart) -> TrialResult | None:
        if part.start or part.stop - 1 not in case.probes:
            return None if parts.oracle is None else between.of(part)
        steps = tuple(step for step in case.probes if step < part.stop)
        feeds = parts.feeds(part)
        if feeds is None or not (parts.causal or part == parts.whole):
            return None
        over_time = chunks.time_axes(entry)
        known = {n: v for n, v in case.truth.items() if n in over_time or part == parts.whole}
        truth = chunks.at_steps(entry, parts.rows_of(known, part), range(len(steps)))
        return TrialResult(chunks.at_steps(entry, runner.run(feeds), steps), truth, steps)

    return Trial(parts, tried, runner, stops=tuple(step + 1 for step in case.probes))


def _by(runner: Runner, lengths: Sequence[int], feeds: Values) -> Values:
    """Run in chunks of these lengths, the last one again and again, as far as there are steps."""
    total, cut = chunks.length_of(runner.entry, feeds), list[int]()
    while sum(cut) < total:
        cut.append(min(lengths[min(len(cut), len(lengths) - 1)], total - sum(cut)))
    return run_in_chunks(runner, feeds, cut)


def _entry(subject: CheckSubject, runner: Runner) -> EntryPoint:
    """The entry point by which a case is cut: the stream's, which knows more of time and states."""
    stream = subject.runners.get(STREAM)
    alike = stream is not None and stream.entry.inputs == runner.entry.inputs
    return stream.entry if stream is not None and alike else runner.entry
