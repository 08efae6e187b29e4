"""Run a check on a part of a golden case, to find a smaller case that still fails.

    check, case --trials_of--> a Trial for each way the case is run --run(CasePart)--> TrialResult

Checks that compare with the truth need the true values of the part (`parts.py`); those that
compare a runtime with itself (`reset`, `batch`) need only the runtime.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rnn_deploy.inference.stream import run_in_chunks
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.spec import SEQUENCE, STREAM, Array, EntryPoint, chunks
from rnn_deploy.verifying.judge.checks import (
    HAND_OVER,
    chunkings,
    run_handed_over,
    run_row_by_row,
    run_twice,
)
from rnn_deploy.verifying.judge.parts import CasePart, CaseParts, KnownCase
from rnn_deploy.verifying.judge.subject import CheckSubject

Values = Mapping[str, Array]


@dataclass(frozen=True)
class TrialResult:
    """The values of a part and its true values, by name.

    steps: the steps for which tensors over time have values; empty for all steps of the part.
    """

    values: Values
    truth: Values
    steps: tuple[int, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One way to run parts of a case.

    run: returns None for a part that cannot be run, or has no known true values. runner: the
    runner it uses. rows: the fewest rows it needs. stops: the numbers of steps to try; empty for
    all.
    """

    parts: CaseParts
    run: Callable[[CasePart], TrialResult | None]
    runner: Runner
    rows: int = 1
    stops: tuple[int, ...] = ()


def trials_of(check: str, subject: CheckSubject, known: KnownCase) -> Iterator[Trial]:
    """Return the ways in which `check` runs a case; those that show states come first."""
    names = (SEQUENCE,) if check == SEQUENCE else (STREAM, SEQUENCE)
    for runner in (subject.runners[name] for name in names if subject.takes(known.case, name)):
        parts = CaseParts(known, _entry(subject, runner))
        if check in ("sequence", "states", "teacher-forced", "masks", "extremes"):
            yield trial_against_truth(parts, runner, runner.run)
        elif check == "long":
            yield trial_at_known_steps(parts, runner)
        elif check == "reset":
            yield _trial_against_itself(parts, runner, partial(run_twice, runner))
        elif check == "batch":
            yield _trial_against_itself(parts, runner, partial(run_row_by_row, runner), 2)
        if check == "teacher-forced" and runner.entry.name == STREAM and subject.stream_only:
            yield trial_against_truth(parts, subject.stream_only, subject.stream_only.run)
        if runner.entry.name == STREAM and runner.entry.chunked.ok:
            yield from _chunked_trials(check, subject, parts, runner)


def _chunked_trials(
    check: str, subject: CheckSubject, parts: CaseParts, runner: Runner
) -> Iterator[Trial]:
    """Return the ways for checks that carry the state from chunk to chunk."""
    if check == "step":
        yield trial_against_truth(parts, runner, partial(_run_in_chunks, runner, [1]))
    for lengths in chunkings(parts.case) if check == "chunked" else ():
        yield trial_against_truth(parts, runner, partial(_run_in_chunks, runner, lengths))
    if check == HAND_OVER:
        yield trial_against_truth(parts, runner, partial(run_handed_over, subject))


def trial_against_truth(
    parts: CaseParts, runner: Runner, run: Callable[[Values], Values | None]
) -> Trial:
    """Compare parts, as `run` runs them, with their true values."""

    def run_part(part: CasePart) -> TrialResult | None:
        feeds, truth = parts.feeds(part), parts.truth(part)
        if feeds is None or not truth:
            return None
        values = run(feeds)
        return None if values is None else TrialResult(values, truth)

    return Trial(parts, run_part, runner)


def trial_at_known_steps(parts: CaseParts, runner: Runner) -> Trial:
    """Compare parts with their true values; of a very long case, at the steps that it keeps."""
    if parts.case.probes:
        return _trial_at_probes(parts, runner)
    return trial_against_truth(parts, runner, runner.run)


def _trial_against_itself(
    parts: CaseParts, runner: Runner, run: Callable[[Values], tuple[Values, Values]], rows: int = 1
) -> Trial:
    def run_part(part: CasePart) -> TrialResult | None:
        feeds = parts.feeds(part)
        return None if feeds is None or len(part.rows) < rows else TrialResult(*run(feeds))

    return Trial(parts, run_part, runner, rows)


def _trial_at_probes(parts: CaseParts, runner: Runner) -> Trial:
    """Compare a very long case at its few known steps, and in between if there is an oracle."""
    case, entry = parts.case, parts.entry
    between = trial_against_truth(parts, runner, runner.run)

    def run_part(part: CasePart) -> TrialResult | None:
        if part.start or part.stop - 1 not in case.probes:
            return None if parts.known.oracle is None else between.run(part)
        steps = tuple(step for step in case.probes if step < part.stop)
        feeds = parts.feeds(part)
        if feeds is None or not (parts.causal or part == parts.whole):
            return None
        over_time = chunks.time_axes(entry)
        known = {n: v for n, v in case.truth.items() if n in over_time or part == parts.whole}
        truth = chunks.at_steps(entry, parts.rows_of(known, part), range(len(steps)))
        return TrialResult(chunks.at_steps(entry, runner.run(feeds), steps), truth, steps)

    return Trial(parts, run_part, runner, stops=tuple(step + 1 for step in case.probes))


def _run_in_chunks(runner: Runner, lengths: Sequence[int], feeds: Values) -> Values:
    """Run in chunks of these lengths; the last length is repeated to the end of the sequence."""
    total, cut = chunks.length_of(runner.entry, feeds), list[int]()
    while sum(cut) < total:
        cut.append(min(lengths[min(len(cut), len(lengths) - 1)], total - sum(cut)))
    return run_in_chunks(runner, feeds, cut)


def _entry(subject: CheckSubject, runner: Runner) -> EntryPoint:
    """Return the entry point for cutting a case: the stream's, if its inputs are the same."""
    stream = subject.runners.get(STREAM)
    alike = stream is not None and stream.entry.inputs == runner.entry.inputs
    return stream.entry if stream is not None and alike else runner.entry
