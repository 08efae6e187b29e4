"""The checks: how each one runs a golden case, and which values it expects.

sequence         the sequence entry point on the whole: outputs
states           the stream entry point on the whole, from the case's initial states:
                 outputs and final states
chunked          the stream entry point in chunks, states carried; the chunking is random
step             the stream entry point one step at a time
teacher-forced   every step from the reference's own state before it; if single steps have their own
                 model file, by that file and by the stream's
hand-over        half on this runtime, then the state is saved and resumed on another runtime
reset            called twice, with other inputs in between: both results must be equal
batch            each row alone has the same results as in its batch
masks            rows masked at the right, at the left, in between, completely
extremes         zeros, saturating inputs, denormals, infinities, NaN
long             one sequence of very many steps
running-bound    every state after every step, within the bound for a float32 layer (rounding.py)
sizes            many more numbers of steps and rows than the golden vectors have (sizes.py)
encode-decode    encoder and decoder by themselves (encode_decode.py)
given            the shapes and inputs that the user gives (given.py); not in CHECKS

Every check takes the plain golden cases, except those in SPECIAL, which have cases of their own. A
check that does not apply to a case yields nothing.
"""

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from zlib import crc32

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.inference.stream import Stream, run_in_chunks
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.spec import SEQUENCE, STREAM, Array, EntryPoint, chunks
from rnn_deploy.verifying.judge.encode_decode import CHECK as ENCODE_DECODE
from rnn_deploy.verifying.judge.encode_decode import encode_decode
from rnn_deploy.verifying.judge.given import given
from rnn_deploy.verifying.judge.nudging import all_finite, largest_changes, nudge
from rnn_deploy.verifying.judge.sizes import masks, sizes, steps_against_chunks
from rnn_deploy.verifying.judge.subject import CheckResult, CheckSubject
from rnn_deploy.verifying.judge.tolerance import GIVEN, SIZES

MOST_STEPS = 64  # longer sequences are not run step by step


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
        detail = "chunks of " + "+".join(map(str, lengths))
        yield CheckResult(run_in_chunks(runner, case.feeds, lengths), detail=detail)


def chunkings(case: GoldenCase) -> list[tuple[int, ...]]:
    """Return the chunk lengths to run a case in: its own, and random ones."""
    return list(dict.fromkeys((case.chunks, _random_chunks(case))))


def _step(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    runner = subject.stream
    if runner is not None and 2 <= sum(case.chunks) <= MOST_STEPS:
        yield CheckResult(run_in_chunks(runner, case.feeds, [1] * sum(case.chunks)))


def _hand_over(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    if subject.stream is not None and case.chunks:
        values = run_handed_over(subject, case.feeds)
        if values is not None:
            yield CheckResult(values, detail=f"resumed on {subject.partner_name}")


def run_handed_over(subject: CheckSubject, feeds: Mapping[str, Array]) -> dict[str, Array] | None:
    """Run half of a sequence, save the state to a file, resume from the file on the partner.

    None if there is no partner, or fewer than two steps.
    """
    begun, partner = subject.stream, subject.partner.get(STREAM)
    if begun is None or partner is None or chunks.length_of(begun.entry, feeds) < 2:
        return None
    entry, steps = begun.entry, chunks.length_of(begun.entry, feeds)
    first, second = chunks.cut(entry, feeds, [steps // 2, steps - steps // 2])
    batch = next(iter(first.values())).shape[0]
    initial = {s.tensor.name: feeds.get(s.tensor.name) for s in entry.states}
    stream = Stream(begun, batch)
    stream.state = stream.state | {n: v for n, v in initial.items() if v is not None}
    rest = Stream(partner, batch)
    pieces = [stream.advance(first)]
    with tempfile.TemporaryDirectory() as folder:
        stream.save(Path(folder) / "state.npz")
        rest.restore(Path(folder) / "state.npz", any_bundle=True)
    pieces.append(rest.advance(second))
    return chunks.joined(entry, pieces) | rest.finals()


def _reset(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    """Make the same call twice, with other inputs and other states in between."""
    for entry, runner in subject.runners.items():
        if subject.takes(case, entry):
            again, first = run_twice(runner, case.feeds)
            yield CheckResult(again, first, f"{entry}, called again")


def run_twice(
    runner: Runner, feeds: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the results of the second and of the first of two equal calls."""
    first = _copied(runner.run(feeds))
    runner.run(_other_feeds(runner.entry, feeds))
    return runner.run(feeds), first


def _batch(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    entry = STREAM if subject.takes(case, STREAM) else SEQUENCE
    if not case.rows_alone or not subject.takes(case, entry):
        return
    runner = subject.runners[entry]
    if not all(isinstance(tensor.shape[0], str) for tensor in runner.entry.all_inputs):
        return
    both = run_row_by_row(runner, case.feeds)
    for row in range(_batch_of(case.feeds)):
        values, expected = ({n: v[row : row + 1] for n, v in each.items()} for each in both)
        yield CheckResult(values, expected, f"row {row} alone")


def run_row_by_row(
    runner: Runner, feeds: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the results of every row alone, joined to a batch, and those of the batch."""
    whole = _copied(runner.run(feeds))
    rows = [
        _copied(runner.run({name: value[row : row + 1] for name, value in feeds.items()}))
        for row in range(_batch_of(feeds))
    ]
    return {name: np.concatenate([row[name] for row in rows]) for name in whole}, whole


def _every_entry(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    """Run a special case at every entry point, since each may be lowered in its own way."""
    for entry, runner in subject.runners.items():
        if subject.takes(case, entry):
            values = runner.run(case.feeds)
            if case.probes:
                values = chunks.at_steps(runner.entry, values, case.probes)
            yield CheckResult(values, detail=f"entry point {entry}")


def _extremes(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    """Large values cancel in some models, so the effect of rounding is measured for each case."""
    if not all_finite(case.feeds):
        yield from _every_entry(subject, case)
        return
    for entry, runner in subject.runners.items():
        if subject.takes(case, entry):
            nudged = _copied(runner.run(nudge(runner.entry, case.feeds)))
            subject.files_run.take()  # keep only the files of the run that is compared
            values = runner.run(case.feeds)
            changes = largest_changes(values, nudged)
            rounding = {n: change for n, change in changes.items() if math.isfinite(change)}
            yield CheckResult(values, detail=f"entry point {entry}", rounding=rounding)


def _teacher_forced(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    yield from _every_entry(subject, case)
    if subject.stream_only is not None and subject.takes(case, STREAM):
        values = subject.stream_only.run(case.feeds)
        yield CheckResult(values, detail="single steps by the stream's model file")


def _long(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    yield from _every_entry(subject, case)
    yield from steps_against_chunks(subject, case)


def _masks(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    yield from _every_entry(subject, case)
    yield from masks(subject, case)


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


RUNNING, HAND_OVER, LONG = "running-bound", "hand-over", "long"
CHECKS: dict[str, Check] = {
    "sequence": _sequence,
    "states": _states,
    "chunked": _chunked,
    "step": _step,
    "teacher-forced": _teacher_forced,
    HAND_OVER: _hand_over,
    "reset": _reset,
    "batch": _batch,
    "masks": _masks,
    "extremes": _extremes,
    LONG: _long,
    RUNNING: _running_bound,
    SIZES: sizes,
    ENCODE_DECODE: encode_decode,
}
EVERY_CHECK = {**CHECKS, GIVEN: given}
BASIC = ("sequence", "states", "chunked", ENCODE_DECODE)
QUICK = ("sequence", "states", "chunked", "teacher-forced", "extremes", ENCODE_DECODE)
# These compare a runtime with itself, or have a wide bound: they are no evidence of right values.
WEAK_CHECKS = ("reset", "batch", RUNNING)
# These have their own golden cases, which no other check takes.
SPECIAL = ("teacher-forced", "masks", "extremes", LONG, RUNNING, SIZES, ENCODE_DECODE, GIVEN)


def applies(check: str, case: GoldenCase) -> bool:
    """Return whether a check takes a case."""
    return case.check == check if check in SPECIAL else not case.check


def _random_chunks(case: GoldenCase) -> tuple[int, ...]:
    """Return random chunk lengths that add up to the case; the same on every run."""
    total = sum(case.chunks)
    rng = np.random.default_rng(crc32(case.name.encode()))
    cuts = np.flatnonzero(rng.random(total - 1) < 0.5) + 1
    return tuple(int(length) for length in np.diff([0, *cuts, total]))


def _other_feeds(entry: EntryPoint, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Return other inputs of the same shapes, and initial states of ones."""
    batch = _batch_of(feeds)
    states = {
        state.tensor.name: np.ones(
            [dim if isinstance(dim, int) else batch for dim in state.tensor.shape],
            state.tensor.dtype,
        )
        for state in entry.states
    }
    ids = {tensor.name for tensor in entry.inputs if tensor.below is not None}
    others = {
        # Ids may be floats too; they must stay in their vocabulary.
        name: np.subtract(1, v) if v.dtype.kind == "f" and name not in ids else v[::-1].copy()
        for name, v in feeds.items()
    }
    return others | states


def _batch_of(feeds: Mapping[str, Array]) -> int:
    return int(next(iter(feeds.values())).shape[0])


def _copied(values: Mapping[str, Array]) -> dict[str, Array]:
    """Copy results, since a runtime may reuse its buffers in the next call."""
    return {name: value.copy() for name, value in values.items()}
