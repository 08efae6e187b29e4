"""The states of a previous run, by key: to continue from them, or to carry them over.

A key that the previous run did not have starts from zero. A key that failed there has no state, so
it fails here too until that run is repeated: to continue without its steps would be wrong.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.optional import require
from rnn_deploy.runtimes.feeds import zero_states
from rnn_deploy.scoring.files import write_whole
from rnn_deploy.scoring.job import CARRIED, PART
from rnn_deploy.scoring.record import RunRecord
from rnn_deploy.scoring.scorer import STATE, InitialStates
from rnn_deploy.scoring.sequences import Fault
from rnn_deploy.scoring.table_rows import keys_of
from rnn_deploy.spec import EntryPoint

LOST = Fault("E-SCORE-NO-STATE", "the previous run failed for this key; repair and repeat that run")


class PreviousStates:
    """The states that a run in `folder` wrote."""

    def __init__(self, folder: Path, entry: EntryPoint) -> None:
        self._entry = entry
        record = RunRecord.read(folder)
        self._key = record.key
        found = sorted(folder.glob("part-*.parquet")) + sorted(folder.glob("_carried-*.parquet"))
        self._files = {path.name: path for path in found}
        self._names = [STATE + spec.tensor.name for spec in entry.states]

    def initial(self, keys: Any, number: int) -> InitialStates:
        """Return the states of keys; the part with this number is searched first."""
        states = zero_states(self._entry, len(keys))
        faults: dict[int, Fault] = {}
        missing = {key: row for row, key in enumerate(keys.to_pylist()) if key is not None}
        for path in self._ordered(number):
            if not missing:
                break
            self._fill(path, missing, states, faults)
        return InitialStates(states, faults)

    def carry(self, scored: Any, output: Path) -> int:
        """Write the states of keys that were not scored; return their number.

        scored: an Arrow array of keys.
        """
        compute, parquet = require("pyarrow.compute"), require("pyarrow.parquet")
        count = written = 0
        for path in self._files.values():
            table = parquet.read_table(path, columns=[self._key, *self._names], use_threads=False)
            others = compute.invert(compute.is_in(table[self._key], value_set=scored))
            rest = table.filter(others)
            if rest.num_rows:
                place = output / CARRIED.format(written)
                write_whole(place, iter([rest]), {})
                count, written = count + rest.num_rows, written + 1
        for leftover in sorted(output.glob("_carried-*.parquet"))[written:]:
            leftover.unlink()
        return count

    def _ordered(self, number: int) -> Iterator[Path]:
        likely = self._files.get(PART.format(number))
        if likely is not None:
            yield likely
        yield from (path for path in self._files.values() if path != likely)

    def _fill(
        self, path: Path, missing: dict[Any, int], states: dict[str, Any], faults: dict[int, Fault]
    ) -> None:
        arrow, parquet = require("pyarrow"), require("pyarrow.parquet")
        file = parquet.ParquetFile(path)
        keys = keys_of(file.read([self._key], use_threads=False)[self._key])
        wanted = arrow.array(list(missing), keys.type)
        rows = np.flatnonzero(
            require("pyarrow.compute").is_in(keys, value_set=wanted).to_numpy(zero_copy_only=False)
        )
        if not len(rows):
            return
        table = file.read(self._names, use_threads=False).take(arrow.array(rows))
        targets = [missing.pop(key) for key in keys.take(arrow.array(rows)).to_pylist()]
        for spec in self._entry.states:
            column = table[STATE + spec.tensor.name].combine_chunks()
            gone = column.is_null().to_numpy(zero_copy_only=False)
            faults.update((row, LOST) for row, null in zip(targets, gone, strict=True) if null)
            there = [row for row, null in zip(targets, gone, strict=True) if not null]
            flat = column.flatten().to_numpy(zero_copy_only=False)
            value = states[spec.tensor.name]
            value[there] = flat.reshape(len(there), *value.shape[1:])


def previous_run(folder: Path, weights: str, key: str) -> RunRecord:
    """Return the record of the previous run; raise InputError if its states do not fit."""
    record = RunRecord.read(folder)
    if not record.states:
        raise InputError(
            "E-SCORE-NO-STATES", f"{folder}: has no states; score it again with --states"
        )
    if record.weights != weights:
        raise InputError(
            "E-STATE-OTHER-BUNDLE",
            f"{folder}: the states belong to another model, with the weights {record.weights[:12]},"
            f" expected {weights[:12]}; use the bundle that wrote them",
        )
    if not record.complete:
        raise InputError(
            "E-SCORE-INCOMPLETE", f"{folder}: this run is not complete; repeat its command first"
        )
    if record.key != key:
        raise InputError(
            "E-STATE-KEYS",
            f"{folder}: its keys are in the column '{record.key}', here in '{key}'; the states are"
            " matched by key, so use the same --sequence",
        )
    return record
