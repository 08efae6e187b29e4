"""Compare results with those of an earlier verification: `verify --baseline old.npz`.

    old.npz --baseline_in--> Baseline --record(Observation)--> finish(Report) --> Report

The values are compared with each other, not with the truth. Groups of results are left out: a
report keeps only the one nearest to its budget, which may be another one now.
"""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from rnn_deploy.bundle.npz import FAULTS, NpzFile
from rnn_deploy.errors import InputError
from rnn_deploy.spec import Array
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.judge.distance import max_abs_error
from rnn_deploy.verifying.report.changes import CHECK, BaselineComparison, Change
from rnn_deploy.verifying.report.observation import Observation
from rnn_deploy.verifying.report.report import FailedCheck, Report
from rnn_deploy.verifying.report.results import Results, StoredTensors, content_key, damaged

Key = tuple[str, str, str, str, str]


class Baseline:
    """Earlier results: `record` while a verification runs, `finish` with its report."""

    def __init__(self, results: Results, arrays: NpzFile) -> None:
        self._results, self._arrays = results, arrays
        pairs = zip(results.report.comparisons, results.stored, strict=True)
        self._stored: dict[Key, StoredTensors] = {_key(c): s for c, s in pairs if s is not None}
        self._changes: dict[tuple[str, str], Change] = {}
        self._unmatched = 0

    def record(self, observation: Observation) -> None:
        """Compare one result with the earlier one."""
        c = observation.comparison
        if observation.grouped:
            return
        stored = self._stored.get(_key(c))
        if stored is None:
            self._unmatched += 1
            return
        by = self._change(observation.tensors.actual, stored.actual)
        place = c.runtime, c.name
        before = self._changes.get(place) or Change(c.runtime, c.name, c.kind, 0, 0)
        if by > before.largest:
            before = replace(before, largest=by, budget=c.budget, check=c.check, case=c.case)
        self._changes[place] = replace(
            before, compared=before.compared + 1, changed=before.changed + (by > 0)
        )

    def _change(self, value: Array, key: str) -> float:
        """Return the largest change; read a tensor only if it differs."""
        if content_key(np.asarray(value)) == key:
            return 0.0
        try:
            return max_abs_error(value, self._arrays[key])
        except (*FAULTS, ValueError) as error:
            raise damaged(self._results.place, error) from error

    def finish(self, report: Report, *, fail_on_change: bool) -> Report:
        """Return the report with the changes; with `fail_on_change` they are failed checks."""
        old = self._results.report
        now = {c.runtime for c in report.comparisons}
        then = dict.fromkeys(c.runtime for c in old.comparisons)
        versions = (
            (name, old.environment.get(name, "?"), report.environment.get(name, "?"))
            for name in then
            if name in now
        )
        compared = BaselineComparison(
            str(self._results.place),
            tuple(self._changes.values()),
            self._unmatched,
            tuple(name for name in then if name not in now),
            tuple((name, a, b) for name, a, b in versions if a != b),
        )
        failed = _failed(compared) if fail_on_change else ()
        return replace(report, baseline=compared, failed_checks=(*report.failed_checks, *failed))


@contextmanager
def baseline_in(results: Results) -> Iterator[Baseline]:
    """Yield the baseline of a results file; raise InputError if it is of other inputs."""
    if results.report.reference.endswith("recomputed"):
        raise InputError(
            "E-VERIFY-BASELINE",
            f"{results.place} has results of --against, which uses other inputs than the bundle's"
            " golden vectors; save a baseline without --against",
        )
    with zipfile.ZipFile(results.place) as archive:
        yield Baseline(results, NpzFile(archive))


def _failed(compared: BaselineComparison) -> tuple[FailedCheck, ...]:
    gone = f"it is in {compared.place}, but was not verified now"
    nothing = not any(change.compared for change in compared.changes)
    return (
        *(FailedCheck(c.runtime, CHECK, f"{c.check} {c.case}", str(c)) for c in compared.changed),
        *(FailedCheck(name, CHECK, "--baseline", gone) for name in compared.gone),
        *([FailedCheck(CHECK, CHECK, "--baseline", "no result could be compared")] * nothing),
    )


def _key(c: Comparison) -> Key:
    return c.runtime, c.check, c.case, c.name, c.detail
