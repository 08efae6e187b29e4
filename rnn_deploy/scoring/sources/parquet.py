"""Parquet: a list column for each input, or a long table. A span is whole row groups.

In a long table a span starts at the first sequence that starts in its first row group.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rnn_deploy.errors import InputError, one_line
from rnn_deploy.optional import require
from rnn_deploy.scoring.layout import Inputs, layout_of
from rnn_deploy.scoring.sequences import Sequences
from rnn_deploy.scoring.sources.base import CHUNK, MOST_ROWS, Scan, Span, hashes_of, joined
from rnn_deploy.scoring.table_rows import (
    keys_of,
    sequences_from_lists,
    sequences_from_steps,
    starts_of,
    whole_sequences,
)

ITEM = 8  # bytes of a number
ROWS = 65536  # rows of a long table that are read at a time


class ParquetSource:
    """One Parquet file."""

    def __init__(self, place: Path, inputs: Inputs) -> None:
        self.place = place
        self._arrow = require("pyarrow")
        try:
            self._file = require("pyarrow.parquet").ParquetFile(place)
        except (self._arrow.ArrowException, OSError) as error:
            raise InputError(
                "E-DATA-DAMAGED", f"{place}: cannot be read as Parquet: {one_line(error)}"
            ) from error
        self.layout = layout_of(self._file.schema_arrow, inputs, str(place))

    def scan(self, target: int) -> Scan:
        """Return spans of whole row groups, about `target` bytes of numbers each."""
        rows = self._file.metadata.num_rows
        cuts = self._cuts(target)
        hashes, count = None, rows
        if self.layout.is_long:
            cuts, hashes = self._sequence_starts(cuts)
            count = len(hashes)
        elif self.layout.inputs.rules.id is not None:
            hashes = joined([hashes_of(keys) for keys in self.key_arrays()])
        spans = (Span(a, b, a) for a, b in zip(cuts, [*cuts[1:], rows], strict=True) if a < b)
        return Scan(tuple(spans), count, hashes)

    def key_arrays(self) -> Iterator[Any]:
        """Yield the keys of all sequences."""
        for _, keys in self._heads():
            yield keys

    def read(self, span: Span) -> Iterator[Sequences]:
        """Yield the sequences of a span."""
        tables = (self._arrow.Table.from_batches([b]) for b in self._batches(span))
        if self.layout.is_long:
            most = CHUNK // (ITEM * (len(self.layout.features) + 2))
            for table in whole_sequences(tables, self.layout, most):
                yield sequences_from_steps(table, self.layout)
            return
        row = span.first_row
        for table in tables:
            yield sequences_from_lists(table, self.layout, row)
            row += table.num_rows

    def _cuts(self, target: int) -> list[int]:
        """Return the first row of each span."""
        cuts, row, size = [0], 0, 0
        for group in range(self._file.metadata.num_row_groups):
            row += self._file.metadata.row_group(group).num_rows
            size += self._bytes(group)
            if size >= target:
                cuts, size = [*cuts, row], 0
        return [cut for cut in dict.fromkeys(cuts) if cut < row]

    def _bytes(self, group: int) -> int:
        """Return the size of a row group in memory, which the compressed size does not show."""
        meta = self._file.metadata.row_group(group)
        columns = (meta.column(index) for index in range(meta.num_columns))
        used = set(self.layout.names)
        return ITEM * sum(c.num_values for c in columns if c.path_in_schema.split(".")[0] in used)

    def _heads(self) -> Iterator[tuple[Any, Any]]:
        """Yield the rows at which sequences start, and their keys."""
        name = self.layout.inputs.rules.id
        if name is None:
            return
        row, before = 0, None
        for batch in self._file.iter_batches(ROWS, columns=[name], use_threads=False):
            keys = keys_of(batch.column(0))
            starts: Any = np.arange(len(keys))
            if self.layout.is_long:
                starts = starts_of(keys)
                if before is not None and len(keys) and keys[0] == before:
                    starts = starts[1:]
                before = keys[-1] if len(keys) else before
            yield row + starts, keys.take(self._arrow.array(starts))
            row += len(keys)

    def _sequence_starts(self, cuts: list[int]) -> tuple[list[int], Any]:
        """Return the first sequence that starts at or after each cut, and hashes of the keys."""
        moved: dict[int, int] = {}
        hashes = []
        for starts, keys in self._heads():
            hashes.append(hashes_of(keys))
            for cut in cuts:
                if cut not in moved and len(starts) and starts[-1] >= cut:
                    moved[cut] = int(starts[np.searchsorted(starts, cut)])
        return sorted(set(moved.values())), joined(hashes)

    def _batches(self, span: Span) -> Iterator[Any]:
        """Yield exactly the rows of a span."""
        meta, first, groups = self._file.metadata, 0, []
        bounds = {}
        for group in range(meta.num_row_groups):
            last = first + meta.row_group(group).num_rows
            if last > span.start and first < span.stop:
                groups.append(group)
                bounds[group] = first
            first = last
        at = bounds[groups[0]]
        for batch in self._file.iter_batches(
            self._batch_rows(groups), row_groups=groups, columns=self.layout.names,
            use_threads=False,
        ):  # fmt: skip
            start, stop = max(at, span.start), min(at + batch.num_rows, span.stop)
            if start < stop:
                yield batch.slice(start - at, stop - start)
            at += batch.num_rows

    def _batch_rows(self, groups: list[int]) -> int:
        if self.layout.is_long:
            return ROWS
        rows = sum(self._file.metadata.row_group(group).num_rows for group in groups)
        row_bytes = sum(map(self._bytes, groups)) / max(1, rows)
        return int(max(1, min(MOST_ROWS, CHUNK / max(1, row_bytes))))
