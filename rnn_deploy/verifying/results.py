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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rnn_deploy.bundle import Bundle
from rnn_deploy.bundle.decoding import decoded
from rnn_deploy.errors import InputError, one_line
from rnn_deploy.spec import Array
from rnn_deploy.verifying.compare import Comparison, compare
from rnn_deploy.verifying.evidence import Observation, Record, nothing
from rnn_deploy.verifying.known import why_known
from rnn_deploy.verifying.report import Report
from rnn_deploy.verifying.tolerance import Asked

SCHEMA = 1
INDEX = "index"


@dataclass(frozen=True)
class Stored:
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
        self._stored: dict[int, Stored] = {}

    def record(self, observation: Observation) -> None:
        """Write the tensors of one comparison, each only the first time it is met."""
        o = observation
        self._stored[id(o.comparison)] = Stored(
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
    """A results file that was read: its report, and where each comparison's tensors stand."""

    place: Path
    report: Report
    stored: tuple[Stored | None, ...]

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
        stored = decoded(tuple[Stored | None, ...], index["stored"])
        if len(stored) != len(report.comparisons):
            raise ValueError("its comparisons and tensors are not as many")
    if report.digest != bundle.digest:
        raise InputError(
            f"{place}: holds the results of another bundle ({report.bundle}, digest"
            f" {report.digest[:12]}; {bundle.root} has {bundle.digest[:12]}); run verify"
            f" {bundle.root} --save again"
        )
    return Results(place, report, stored)


def judged_again(results: Results, asked: Asked, record: Record = nothing) -> Report:
    """The report of stored results, with the tolerance asked for; where none is, with its own.

    Of what was localised stays what still fails. InputError for a tensor that is not there.
    """
    old = results.report
    asked.check_names(comparison.name for comparison in old.comparisons)
    stored = iter(results.observations())
    judged: list[Comparison] = []
    for comparison, place in zip(old.comparisons, results.stored, strict=True):
        if place is None:
            judged.append(comparison)
            continue
        observation = next(stored)
        again = _again(observation, asked)
        record(replace(observation, comparison=again))
        judged.append(again)
    failed = {(c.runtime, c.check, c.case) for c in judged if not c.passed}
    return replace(
        old,
        comparisons=tuple(judged),
        findings=tuple(f for f in old.findings if (f.runtime, f.check, f.case) in failed),
        tolerance=asked.said if asked != Asked() else old.tolerance,
    )


def _again(observation: Observation, asked: Asked) -> Comparison:
    old, actual, truth = observation.comparison, observation.actual, observation.truth
    given = asked.of(old.name)
    budget, rtol = given or (old.budget, 0.0)
    new = compare(
        actual, truth, runtime=old.runtime, check=old.check, case=old.case, name=old.name,
        kind=old.kind, budget=budget, reference_error=old.reference_error, rtol=rtol,
        bound=None if given else observation.bound, detail=old.detail,
        decisive=given is not None or old.decisive,
    )  # fmt: skip
    return replace(new, known=why_known(new, actual, truth))


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


def _observation(comparison: Comparison, stored: Stored, file: Any) -> Observation:
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
