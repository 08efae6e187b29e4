"""Shapes and inputs that the user gives: `verify --shape 64x8`, `verify --inputs X.npz`.

    --shape RxT --golden inputs, repeated--> \\
    --inputs X.npz -------------------------> GoldenCase --given--> results

With the Keras model, the true values come from it, in float64. Without it, each runtime is compared
with its own calls of few rows and single steps, which other checks compare with golden vectors. The
effect of rounding is measured as in `sizes`.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rnn_deploy.bundle import Bundle, GoldenCase, cases_of
from rnn_deploy.errors import InputError, RnnDeployError
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.spec import SEQUENCE, STREAM, Array, EntryPoint, chunks
from rnn_deploy.spec.shapes import Shape
from rnn_deploy.verifying.diagnose.original_model import OriginalModel
from rnn_deploy.verifying.judge.compare import AGAINST
from rnn_deploy.verifying.judge.nudging import (
    Values,
    all_finite,
    largest_changes,
    nudge,
    rows_of,
    steady_values,
)
from rnn_deploy.verifying.judge.sizes import pieces_of, repeated, taken
from rnn_deploy.verifying.judge.subject import CheckResult, CheckSubject
from rnn_deploy.verifying.judge.tolerance import GIVEN

BLOCK = 16  # rows; golden vectors have at least this many
INPUTS = "inputs"
WITHOUT_MODEL = (
    "--shape and --inputs were compared with smaller calls of the same runtime; add --model MODEL"
    " to compare them with the Keras model"
)


@dataclass(frozen=True)
class GivenSizes:
    """The user's own cases. inputs: arrays by name, or None."""

    shapes: Sequence[Shape] = ()
    inputs: Mapping[str, Array] | None = None

    def __bool__(self) -> bool:
        return bool(self.shapes) or self.inputs is not None


def given_cases(
    bundle: Bundle, sizes: GivenSizes, original: OriginalModel | None
) -> list[GoldenCase]:
    """Return a case for each shape and for the inputs; raise InputError if the model takes none.

    original: the Keras model, which computes the true values.
    """
    named = {str(shape): _shaped(bundle, shape) for shape in sizes.shapes}
    if sizes.inputs is not None:
        named[f"{INPUTS}-{_digest(sizes.inputs)}"] = dict(sizes.inputs)
    cases = []
    for name, feeds in named.items():
        entries = [entry for entry in bundle.manifest.entries if _takes(entry, feeds)]
        truth = original.oracle(feeds) if original is not None and entries else {}
        if not entries:
            raise InputError(
                "E-VERIFY-SHAPE",
                f"no entry point of {bundle.root} takes "
                f"{', '.join(f'{n} {v.dtype}{v.shape}' for n, v in feeds.items())}; its inputs are"
                f" {', '.join(map(str, bundle.manifest.entries[0].inputs))}",
            )
        taking = tuple(entry.name for entry in entries)
        cases.append(GoldenCase(name, taking, (), feeds, {}, truth, check=GIVEN))
    return cases


def given(subject: CheckSubject, case: GoldenCase) -> Iterator[CheckResult]:
    """Run a case that the user gave, at every entry point that takes it."""
    for name, runner in subject.runners.items():
        if not subject.takes(case, name):
            continue
        truth, how = case.truth, ""
        if not truth:
            truth, how = _smaller_calls(subject, case.feeds, runner)
        subject.files_run.take()  # keep only the file that runs everything at once: it is tested
        values = _copied(runner.run(case.feeds))
        nudged = _copied(runner.run(nudge(runner.entry, case.feeds)))
        rounding = largest_changes(values, nudged) if all_finite(values) else {}
        values = {n: v for n, v in values.items() if n in truth}
        yield CheckResult(
            steady_values(values, rounding),
            truth,
            f"entry point {name}{how}",
            rounding={n: r for n, r in rounding.items() if np.isfinite(r)},
        )


def with_values(case: GoldenCase, expected: Mapping[str, Array]) -> GoldenCase:
    """Return a case with true values: the expected ones, if it has none from the model."""
    return case if case.truth else replace(case, reference=expected)


def _shaped(bundle: Bundle, shape: Shape) -> dict[str, Array]:
    """Return golden inputs, repeated to this shape."""
    entries = {entry.name: entry for entry in bundle.manifest.entries}
    entry = entries.get(STREAM) or entries.get(SEQUENCE) or bundle.manifest.entries[0]
    names = [tensor.name for tensor in entry.inputs]
    plain = (c for c in cases_of(bundle) if entry.name in c.entries)
    widest = max(plain, key=lambda case: rows_of(case.feeds), default=None)
    if widest is None:
        raise InputError(
            "E-VERIFY-SHAPE", f"{bundle.root} has no golden vectors to repeat; use --inputs"
        )
    feeds = repeated(entry, widest.feeds, shape.time)
    if feeds is None:
        feeds = {name: widest.feeds[name] for name in names}
        there = {value.shape[1] for value in feeds.values() if value.ndim > 1}
        if there != {shape.time}:
            raise InputError(
                "E-VERIFY-SHAPE",
                f"--shape {shape}: the inputs of {bundle.root} do not share one open number"
                f" of steps; give {shape.batch}x{max(there, default=1)}, or use --inputs",
            )
    return taken(feeds, np.arange(shape.batch) % rows_of(feeds))


def _digest(feeds: Values) -> str:
    """Return a short digest of the inputs, which names their results."""
    content = b"".join(name.encode() + feeds[name].tobytes() for name in sorted(feeds))
    return hashlib.sha256(content).hexdigest()[:8]


def _takes(entry: EntryPoint, feeds: Values) -> bool:
    return {t.name for t in entry.inputs} == set(feeds) and all(
        t.admits(feeds[t.name].shape) and feeds[t.name].dtype == t.dtype for t in entry.inputs
    )


def _smaller_calls(
    subject: CheckSubject, feeds: Values, runner: Runner
) -> tuple[dict[str, Array], str]:
    """Return the results of few rows and of single steps, and how they were computed."""
    entry, stream, rows = runner.entry, subject.stream, rows_of(feeds)
    names = [tensor.name for tensor in entry.all_outputs]
    stepwise = stream is not None and entry.inputs == stream.entry.inputs
    stepwise = stepwise and chunks.length_of(entry, feeds) > 1
    splits = entry.rows.ok and entry.why_one_batch is None and rows > 1
    splits = splits and all(isinstance(t.shape[0], str) for t in entry.all_inputs)
    if not stepwise and not splits:
        raise RnnDeployError(
            "E-VERIFY-NO-TRUTH",
            f"entry point '{entry.name}' cannot be run in smaller calls, so there are no values to"
            " compare with; add --model MODEL",
        )
    block = (BLOCK if stepwise or rows > BLOCK else 1) if splits else rows
    pieces = [
        _few_rows(stream if stepwise else None, taken(feeds, range(start, end)), runner)
        for start in range(0, rows, block)
        for end in (min(start + block, rows),)
    ]
    shared = entry.of_whole_batch if len(pieces) > 1 else ()
    values = {
        n: np.concatenate([piece[n] for piece in pieces])
        for n in names
        if n not in shared and all(n in piece for piece in pieces)
    }
    return values, f",{AGAINST}{'single steps' if stepwise else 'whole calls'} of {block} rows"


def _few_rows(stream: Runner | None, feeds: Values, runner: Runner) -> dict[str, Array]:
    if stream is None:
        return _copied(runner.run(feeds))
    steps = list(pieces_of(stream, feeds, [1] * chunks.length_of(stream.entry, feeds)))
    finals = {state.next_name: steps[-1][state.next_name] for state in stream.entry.states}
    return chunks.joined(stream.entry, steps) | finals


def _copied(values: Values) -> dict[str, Array]:
    return {name: value.copy() for name, value in values.items()}
