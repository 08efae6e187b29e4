"""Verdicts stored with the tensors they rest on, to be judged again without running anything.

    verify --record--> ResultsWriter --> results.npz
    results.npz --read_results--> Results --judged_again--> Report

An .npz without pickles: `index`, the report and its comparisons as JSON in UTF-8 bytes, and each
tensor once under the hash of its content. The bundle's digest is in the report: results of
another bundle are refused. Written as verification streams, so memory does not grow.
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
from rnn_deploy.errors import InputError, one_line
from rnn_deploy.spec import Array, StateSpec
from rnn_deploy.verifying.diagnose.finding import Finding
from rnn_deploy.verifying.diagnose.localise import finding_in
from rnn_deploy.verifying.judge.compare import Comparison, compare
from rnn_deploy.verifying.judge.known_differences import why_known
from rnn_deploy.verifying.judge.tolerance import UserTolerance
from rnn_deploy.verifying.report.evidence import Observation, Record, nothing
from rnn_deploy.verifying.report.report import Report

SCHEMA = 2
INDEX = "index"
NOT_SMALLER = (
    "where it fails is told from the stored tensors; rnn-deploy verify {} with the same tolerance"
    " also makes the input smaller"
)


@dataclass(frozen=True)
class StoredTensors:
    """Where the tensors of one comparison stand in the file; see Observation."""

    actual: str
    truth: str
    reference: str | None
    bound: str | None
    time_axis: int | None
    steps: tuple[int, ...]


class ResultsWriter:
    """Writes a results file: `record` while verification runs, `finish` with its report."""

    def __init__(self, place: Path) -> None:
        self._file = zipfile.ZipFile(place, "w", zipfile.ZIP_STORED)
        self._written: set[str] = set()
        self._stored: dict[int, StoredTensors] = {}

    def record(self, observation: Observation) -> None:
        """Write the tensors of one comparison, each only the first time it is met."""
        o = observation
        self._stored[id(o.comparison)] = StoredTensors(
            actual=self._key(o.actual),
            truth=self._key(o.truth),
            reference=None if o.reference is None else self._key(o.reference),
            bound=None if o.bound is None else self._key(o.bound),
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
        content = f"{value.dtype.str}{value.shape}".encode() + value.tobytes()
        key = hashlib.sha256(content).hexdigest()[:32]
        if key not in self._written:
            self._written.add(key)
            self._write(key, value)
        return key

    def _write(self, name: str, value: Array) -> None:
        with self._file.open(f"{name}.npy", "w", force_zip64=True) as entry:
            np.lib.format.write_array(entry, np.ascontiguousarray(value), allow_pickle=False)


@dataclass(frozen=True)
class Results:
    """A results file that was read: its report, and where each comparison's tensors stand.

    states: those of the bundle.
    """

    place: Path
    report: Report
    stored: tuple[StoredTensors | None, ...]
    states: tuple[StateSpec, ...] = ()

    def observations(self) -> Iterator[Observation]:
        """Each stored comparison with its tensors, read one at a time."""
        with _opened(self.place) as file:
            for comparison, stored in zip(self.report.comparisons, self.stored, strict=True):
                if stored is not None:
                    yield _observation(comparison, stored, file)


def read_results(place: Path, bundle: Bundle) -> Results:
    """Read a results file of `bundle`; InputError when it is damaged or another bundle's."""
    with _opened(place) as file:
        index = json.loads(file[INDEX].tobytes())
        if index["schema"] != SCHEMA:
            raise InputError(
                f"{place}: has results in schema {index['schema']}, this rnn-deploy reads {SCHEMA};"
                " run verify --save again"
            )
        report = decoded(Report, index["report"])
        stored = decoded(tuple[StoredTensors | None, ...], index["stored"])
        if len(stored) != len(report.comparisons):
            raise ValueError("its comparisons and tensors are not as many")
    if report.digest != bundle.digest:
        raise InputError(
            f"{place}: holds the results of another bundle ({report.bundle}, digest"
            f" {report.digest[:12]}; {bundle.root} has {bundle.digest[:12]}); run verify"
            f" {bundle.root} --save again"
        )
    states = tuple(s for entry in bundle.manifest.entries for s in entry.states)
    return Results(place, report, stored, states)


def judged_again(results: Results, asked: UserTolerance, record: Record = nothing) -> Report:
    """The report of stored results, with the tolerance asked for; where none is, with its own.

    Of what was localised stays what still fails; what fails besides is localised as far as the
    stored tensors show it. InputError for a tensor that is not there.
    """
    old = results.report
    asked.check_names(comparison.name for comparison in old.comparisons)
    stored = iter(results.observations())
    judged: list[Comparison] = []
    places = _FirstPlaces(results.states)
    for comparison, place in zip(old.comparisons, results.stored, strict=True):
        if place is None:
            judged.append(comparison)
            continue
        again = _again(next(stored), asked)
        record(again)
        judged.append(again.comparison)
        places.note(again)
    failed = {(c.runtime, c.check, c.case) for c in judged if not c.passed}
    kept = [f for f in old.findings if (f.runtime, f.check, f.case) in failed]
    new = [] if asked == UserTolerance() else places.besides(kept)
    return replace(
        old,
        comparisons=tuple(judged),
        findings=(*kept, *new),
        notes=(*old.notes, *([NOT_SMALLER.format(old.bundle)] if new else [])),
        tolerance=asked.said if asked != UserTolerance() else old.tolerance,
    )


class _FirstPlaces:
    """Of each check that fails on a runtime, what its first case shows: states first."""

    def __init__(self, states: Sequence[StateSpec]) -> None:
        self._states = states
        self._order = [state.next_name for state in states]
        self._found: dict[tuple[str, str], tuple[int, Finding]] = {}

    def note(self, observation: Observation) -> None:
        """Localise a comparison that fails, unless an earlier one tells more."""
        c = observation.comparison
        if c.passed:
            return
        rank = self._order.index(c.name) if c.name in self._order else len(self._order)
        before = self._found.get((c.runtime, c.check))
        if before is None or (before[1].case == c.case and rank < before[0]):
            found = finding_in(observation, self._states)
            self._found[c.runtime, c.check] = (rank, found)

    def besides(self, findings: Iterable[Finding]) -> list[Finding]:
        """Of the checks that these say nothing of."""
        told = {(f.runtime, f.check) for f in findings}
        return [found for key, (_, found) in self._found.items() if key not in told]


def _again(observation: Observation, asked: UserTolerance) -> Observation:
    old, actual, truth = observation.comparison, observation.actual, observation.truth
    given = asked.of(old.name)
    budget, rtol = given or (old.budget, 0.0)
    bound = None if given else observation.bound
    new = compare(
        actual, truth, runtime=old.runtime, check=old.check, case=old.case, name=old.name,
        kind=old.kind, budget=budget, reference_error=old.reference_error, rtol=rtol,
        bound=bound, detail=old.detail, decisive=given is not None or old.decisive,
        files=old.files,
    )  # fmt: skip
    # Inputs are not stored, and a tolerance changes nothing of an integer that differs.
    known = why_known(new, actual, truth, {}) if truth.dtype.kind == "f" else old.known
    new = replace(new, known=known)
    return replace(observation, comparison=new, allowed=(budget, rtol), bound=bound)


@contextmanager
def _opened(place: Path) -> Iterator[Any]:
    """The file's arrays by name; InputError when it is missing or damaged."""
    if not zipfile.is_zipfile(place):
        raise InputError(f"{place}: no results can be read from it (missing, cut, or not an .npz)")
    try:
        with np.load(place, allow_pickle=False) as file:
            yield file
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{place}: no results can be read from it ({one_line(error)}); run verify --save again"
        ) from error


def _observation(comparison: Comparison, stored: StoredTensors, file: Any) -> Observation:
    reference, bound = (None if k is None else file[k] for k in (stored.reference, stored.bound))
    return Observation(
        comparison,
        file[stored.actual],
        file[stored.truth],
        reference,
        bound,
        stored.time_axis,
        stored.steps,
    )
