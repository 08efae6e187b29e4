"""CSV files with a header and a line for each step. A span consists of whole sequences."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rnn_deploy.errors import InputError, one_line
from rnn_deploy.optional import require
from rnn_deploy.scoring.layout import Inputs, layout_of
from rnn_deploy.scoring.sequences import Fault, Sequences
from rnn_deploy.scoring.sources.base import CHUNK, Scan, Span, hashes_of, joined
from rnn_deploy.scoring.sources.lines import BLOCK, blocks, line_starts, spans_between
from rnn_deploy.scoring.table_rows import keys_of, sequences_from_steps, starts_of, whole_sequences

ITEM = 8
BOM = b"\xef\xbb\xbf"


class CsvSource:
    """One CSV file in long format. Keys are text, so that 007 is not 7."""

    def __init__(self, place: Path, inputs: Inputs) -> None:
        self.place = place
        self._arrow, self._csv = require("pyarrow"), require("pyarrow.csv")
        with place.open("rb") as file:
            line = file.readline()
            self._first = file.tell()
        try:
            text = line.removeprefix(BOM).decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError("E-DATA-DAMAGED", f"{place}: is no text in UTF-8: {error}") from error
        self._header = [cell.strip() for cell in next(csv.reader([text]), [])]
        if inputs.rules.id is None:
            raise InputError(
                "E-OPTION-NEEDS",
                f"{place}: a .csv has a line for each step; name the column with the key of the"
                " sequence: --sequence COLUMN",
            )
        kinds = {name: self._arrow.float64() for name in self._header}
        kinds |= {name: self._arrow.string() for name in (inputs.rules.id, inputs.rules.time)
                  if name in kinds}  # fmt: skip
        self.layout = layout_of(self._arrow.schema(kinds.items()), inputs, str(place))
        self._key = self._header.index(inputs.rules.id)

    def scan(self, target: int) -> Scan:
        """Return spans of about `target` bytes, each from the start of a sequence."""
        hashes = joined([hashes_of(keys) for keys in self.key_arrays()])
        starts = [self._first] if len(hashes) else []
        for start in line_starts(self.place, self._first, target)[1:]:
            moved = self._next_sequence(start)
            if moved is not None and moved > starts[-1]:
                starts.append(moved)
        return Scan(spans_between(starts, self.place.stat().st_size), len(hashes), hashes)

    def key_arrays(self) -> Iterator[Any]:
        """Yield the keys of all sequences."""
        before = None
        name = self.layout.inputs.key_name
        for block in blocks(self.place, self._whole(), 16 * BLOCK):
            keys = keys_of(self._table(block, [name], {})[0][name])
            starts = starts_of(keys)
            if before is not None and len(keys) and keys[0] == before:
                starts = starts[1:]
            before = keys[-1] if len(keys) else before
            yield keys.take(self._arrow.array(starts))

    def read(self, span: Span) -> Iterator[Sequences]:
        """Yield the sequences of a span; a cell that is not a number makes its sequence a fault."""
        faults: dict[str, Fault] = {}
        kinds = {name: self._arrow.float64() for name in self.layout.features}

        def tables() -> Iterator[Any]:
            for block in blocks(self.place, span, BLOCK):
                table, found = self._table(block, self.layout.names, kinds)
                faults.update(found)
                yield table

        most = CHUNK // (ITEM * (len(self.layout.features) + 2))
        for table in whole_sequences(tables(), self.layout, most):
            read = sequences_from_steps(table, self.layout)
            if faults:
                named = {r: faults[k] for r, k in enumerate(read.keys.to_pylist()) if k in faults}
                read = Sequences(read.keys, read.feeds, named | read.faults)
            yield read

    def _whole(self) -> Span:
        return Span(self._first, self.place.stat().st_size)

    def _table(
        self, block: bytes, names: list[str], kinds: dict[str, Any]
    ) -> tuple[Any, dict[str, Fault]]:
        """Return the columns of a block, and faults by key."""
        faults: dict[str, Fault] = {}

        def odd(row: Any) -> str:
            cells = next(csv.reader([row.text]), [])
            key = cells[self._key] if self._key < len(cells) else ""
            wrong = f"a line has {row.actual_columns} values, the header {row.expected_columns}"
            faults[key] = Fault("E-DATA-RAGGED", wrong)
            return "skip"

        special = [n for n in (self.layout.inputs.rules.id, self.layout.inputs.rules.time) if n]
        types = {name: self._arrow.string() for name in special} | kinds
        while True:
            try:
                table = self._csv.read_csv(
                    io.BytesIO(block),
                    self._csv.ReadOptions(column_names=self._header, use_threads=False),
                    self._csv.ParseOptions(invalid_row_handler=odd),
                    self._csv.ConvertOptions(include_columns=names, column_types=types),
                )
                break
            except self._arrow.ArrowInvalid as error:
                text = [name for name in kinds if types[name] != self._arrow.string()]
                if not text:
                    raise InputError(
                        "E-DATA-DAMAGED", f"{self.place}: cannot be read as .csv: {one_line(error)}"
                    ) from error
                types |= {name: self._arrow.string() for name in text}
        for name in kinds:
            if types[name] == self._arrow.string():
                table = self._parsed(table, name, faults)
        return table, faults

    def _parsed(self, table: Any, name: str, faults: dict[str, Fault]) -> Any:
        """Return a table with a text column as numbers; other cells become faults."""
        keys = table[self.layout.inputs.key_name].to_pylist()
        values = np.full(table.num_rows, np.nan)
        for row, cell in enumerate(table[name].to_pylist()):
            try:
                values[row] = float(cell)
            except (TypeError, ValueError):
                faults[keys[row]] = Fault("E-DATA-TEXT", f"column '{name}': {cell!r} is no number")
        return table.set_column(table.column_names.index(name), name, self._arrow.array(values))

    def _next_sequence(self, start: int) -> int | None:
        """Return the start of the first sequence at or after the line at byte `start`."""
        with self.place.open("rb") as file:
            file.seek(start)
            first = self._key_of(file.readline())
            while True:
                at = file.tell()
                line = file.readline()
                if not line:
                    return None
                if self._key_of(line) != first:
                    return at

    def _key_of(self, line: bytes) -> str:
        cells = next(csv.reader([line.decode("utf-8", "replace")]), [])
        return cells[self._key] if self._key < len(cells) else ""
