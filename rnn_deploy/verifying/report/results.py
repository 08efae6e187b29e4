"""Save a report with its tensors, and judge it again with another tolerance.

    verify --record--> ResultsWriter --> results.npz
    results.npz --read_results--> Results --judge_again--> Report

The file is an .npz without pickles. `index` has the report and its comparisons as JSON in UTF-8
bytes; each tensor is stored once, under the hash of its content. The report has the bundle's
digest, so results of another bundle are refused. The file is written while the verification runs,
so that memory does not grow.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rnn_deploy.bundle import Bundle
from rnn_deploy.bundle.decoding import decoded
from rnn_deploy.bundle.npz import open_npz
from rnn_deploy.errors import InputError, one_line
from rnn_deploy.spec import Array, StateSpec
from rnn_deploy.verifying.diagnose.finding import Finding
from rnn_deploy.verifying.diagnose.localise import localise_observation
from rnn_deploy.verifying.judge.compare import (
    Comparison,
    ComparisonContext,
    TensorPair,
    compare,
    with_reference,
)
from rnn_deploy.verifying.judge.known_differences import why_known
from rnn_deploy.verifying.judge.tolerance import Budget, UserTolerance
from rnn_deploy.verifying.report.notes import tolerance_notes
from rnn_deploy.verifying.report.observation import Observation, Record, record_nothing
from rnn_deploy.verifying.report.report import Report

SCHEMA = 4
INDEX = "index"
FROM_STORED = (
    "new failures are localised in the stored tensors; rnn-deploy verify {} with the same tolerance"
    " also finds the smallest input that fails"
)


@dataclass(frozen=True)
class StoredTensors:
    """The names of one comparison's tensors in the file; see Observation."""

    actual: str
    truth: str
    reference: str | None
    bound: str | None
    time_axis: int | None
    steps: tuple[int, ...]


class ResultsWriter:
    """Writes a results file: `record` while the verification runs, `finish` with its report."""

    def __init__(self, place: Path) -> None:
        self._file = zipfile.ZipFile(place, "w", zipfile.ZIP_STORED)
        self._written: set[str] = set()
        self._stored: dict[int, StoredTensors] = {}

    def record(self, observation: Observation) -> None:
        """Write the tensors of one comparison; equal tensors are written once."""
        o = observation
        self._stored[id(o.comparison)] = StoredTensors(
            actual=self._key(o.tensors.actual),
            truth=self._key(o.tensors.truth),
            reference=None if o.reference is None else self._key(o.reference),
            bound=None if o.budget.bound is None else self._key(o.budget.bound),
            time_axis=o.time_axis,
            steps=o.steps,
        )

    def finish(self, report: Report) -> None:
        """Write the report and close."""
        stored = [self._stored.get(id(comparison)) for comparison in report.comparisons]
        index = {
            "schema": SCHEMA,
            "report": asdict(report),
            "stored": [None if s is None else asdict(s) for s in stored],
        }
        self._write(INDEX, np.frombuffer(json.dumps(index).encode(), np.uint8))
        self.close()

    def close(self) -> None:
        """Close the file, finished or not."""
        self._file.close()

    def _key(self, value: Array) -> str:
        value = np.asarray(value)
        key = content_key(value)
        if key not in self._written:
            self._written.add(key)
            self._write(key, value)
        return key

    def _write(self, name: str, value: Array) -> None:
        with self._file.open(f"{name}.npy", "w", force_zip64=True) as entry:
            np.lib.format.write_array(entry, np.ascontiguousarray(value), allow_pickle=False)


def content_key(value: Array) -> str:
    """Return the name of a tensor in a results file; equal tensors have equal names."""
    content = f"{value.dtype.str}{value.shape}".encode() + value.tobytes()
    return hashlib.sha256(content).hexdigest()[:32]


def damaged(place: Path, error: Exception) -> InputError:
    """Return the error for a results file that cannot be read."""
    return InputError(
        "E-VERIFY-RESULTS-DAMAGED",
        f"cannot read results from {place} ({one_line(error)}); run rnn-deploy verify --save again",
    )


@dataclass(frozen=True)
class Results:
    """A results file that was read: its report, and the names of each comparison's tensors.

    states: the states of the bundle.
    """

    place: Path
    report: Report
    stored: tuple[StoredTensors | None, ...]
    states: tuple[StateSpec, ...] = ()

    def observations(self) -> Iterator[Observation]:
        """Read the stored comparisons with their tensors, one at a time."""
        with _opened(self.place) as file:
            for comparison, stored in zip(self.report.comparisons, self.stored, strict=True):
                if stored is not None:
                    yield _observation(comparison, stored, file)


def read_results(place: Path, bundle: Bundle) -> Results:
    """Read a results file; raise InputError if it is damaged, or from another bundle."""
    with _opened(place) as file:
        index = json.loads(file[INDEX].tobytes())
        if index["schema"] != SCHEMA:
            raise InputError(
                "E-VERIFY-RESULTS-SCHEMA",
                f"{place} has schema {index['schema']}, expected {SCHEMA}; run rnn-deploy verify"
                " --save again",
            )
        report = decoded(Report, index["report"])
        stored = decoded(tuple[StoredTensors | None, ...], index["stored"])
        if len(stored) != len(report.comparisons):
            raise ValueError("the numbers of comparisons and of tensors differ")
    if report.digest != bundle.digest:
        raise InputError(
            "E-VERIFY-RESULTS-OTHER-BUNDLE",
            f"{place} has the results of another bundle ({report.bundle}, digest"
            f" {report.digest[:12]}), expected {bundle.root}, digest {bundle.digest[:12]}; run"
            f" rnn-deploy verify {bundle.root} --save again",
        )
    states = tuple(s for entry in bundle.manifest.entries for s in entry.states)
    return Results(place, report, stored, states)


def judge_again(
    results: Results, tolerance: UserTolerance, record: Record = record_nothing
) -> Report:
    """Return the report of stored results with another tolerance; an empty one keeps their own.

    Findings that still fail remain; new failures are localised in the stored tensors. Raises
    InputError for an unknown tensor.
    """
    old = results.report
    tolerance.check_names(comparison.name for comparison in old.comparisons)
    stored = iter(results.observations())
    judged: list[Comparison] = []
    localised = _FirstFindings(results.states)
    for comparison, place in zip(old.comparisons, results.stored, strict=True):
        if place is None:
            judged.append(comparison)
            continue
        observation = _judge(next(stored), tolerance)
        record(observation)
        judged.append(observation.comparison)
        localised.note(observation)
    failed = {(c.runtime, c.check, c.case) for c in judged if not c.passed}
    kept = [f for f in old.findings if (f.runtime, f.check, f.case) in failed]
    unchanged = tolerance == UserTolerance()
    below = () if unchanged else tolerance_notes(judged, tolerance)
    new = [] if unchanged else localised.without(kept)
    return replace(
        old,
        comparisons=tuple(judged),
        findings=(*kept, *new),
        notes=(*old.notes, *below, *([FROM_STORED.format(old.bundle)] if new else [])),
        tolerance=old.tolerance if unchanged else tolerance.description,
    )


class _FirstFindings:
    """The finding in the first failed case of each check and runtime; states come first."""

    def __init__(self, states: Sequence[StateSpec]) -> None:
        self._states = states
        self._order = [state.next_name for state in states]
        self._first: dict[tuple[str, str], tuple[int, Finding]] = {}

    def note(self, observation: Observation) -> None:
        """Localise a failed comparison, unless there is a better one."""
        c = observation.comparison
        if c.passed:
            return
        rank = self._order.index(c.name) if c.name in self._order else len(self._order)
        before = self._first.get((c.runtime, c.check))
        if before is None or (before[1].case == c.case and rank < before[0]):
            finding = localise_observation(observation, self._states)
            self._first[c.runtime, c.check] = (rank, finding)

    def without(self, findings: Iterable[Finding]) -> list[Finding]:
        """Return the findings of the checks that are not in `findings`."""
        known = {(f.runtime, f.check) for f in findings}
        return [finding for key, (_, finding) in self._first.items() if key not in known]


def _judge(observation: Observation, tolerance: UserTolerance) -> Observation:
    old, pair, budget = observation.comparison, observation.tensors, observation.budget
    user = tolerance.for_tensor(old.name)
    if user is not None:
        budget = Budget(user[0], old.reference_error, user[1])
    context = ComparisonContext(
        old.runtime, old.check, old.case, old.name, old.kind, old.detail, old.files
    )
    new = compare(pair, context, budget)
    new = with_reference(new, pair.truth, observation.reference)
    # Inputs are not stored, and a tolerance does not change integers that differ.
    known = why_known(new, pair, {}) if pair.truth.dtype.kind == "f" else old.known
    return replace(observation, comparison=replace(new, known=known), budget=budget)


@contextmanager
def _opened(place: Path) -> Iterator[Any]:
    """Yield the file's arrays by name; raise InputError if it is missing or damaged."""
    try:
        with open_npz(place) as file:
            yield file
    except (ValueError, RecursionError) as error:
        raise damaged(place, error) from error


def _observation(comparison: Comparison, stored: StoredTensors, file: Any) -> Observation:
    reference, bound = (None if k is None else file[k] for k in (stored.reference, stored.bound))
    return Observation(
        comparison,
        TensorPair(file[stored.actual], file[stored.truth]),
        Budget(
            comparison.budget, comparison.reference_error, decisive=comparison.decisive, bound=bound
        ),
        reference,
        stored.time_axis,
        stored.steps,
    )
