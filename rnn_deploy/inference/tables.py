"""Tables of text: rows of a .csv file as sequences with keys.

    lines --parse--> Table (a header or none, cells as text) --sequences_of--> SequenceTable

With `id` a table is long: each line is one step, and the lines with the same id are one sequence.
With `time` the steps of a sequence are sorted by that column. With a header, columns are found by
name, and never by position if their names contradict it.
"""

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.spec import Array


@dataclass(frozen=True)
class TableRules:
    """The roles of a table's columns, by name.

    id: the column with the key of the sequence; None: the table is one sequence. time: the column
    that orders the steps; None: the order of the lines. features: the columns with the model's
    features, in the model's order; empty: all other columns.
    """

    id: str | None = None
    time: str | None = None
    features: tuple[str, ...] = ()

    @property
    def named(self) -> tuple[str, ...]:
        """Return every column that the rules name."""
        return tuple(name for name in (self.id, self.time, *self.features) if name is not None)


@dataclass(frozen=True)
class Table:
    """The lines of a file: cells as text, by line number. header: the column names, or None."""

    place: Path
    header: tuple[str, ...] | None
    lines: Mapping[int, Sequence[str]]

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return len(next(iter(self.lines.values())))

    def name(self, column: int) -> str:
        """Return a column's name, or its number from 1."""
        return f"column '{self.header[column]}'" if self.header else f"column {column + 1}"

    def column(self, name: str) -> int:
        """Return the index of the column `name`; raise InputError with the known names."""
        assert self.header is not None
        if name not in self.header:
            raise InputError(
                "E-DATA-COLUMN",
                f"{self.place}: has no column '{name}', only {', '.join(self.header)}",
            )
        return self.header.index(name)


@dataclass(frozen=True)
class SequenceTable:
    """The sequences of a table, each (steps, features) in float64.

    keys: one for each sequence, None without an id column. times: the text of the time column, for
    each step, None without one. features: their names, or numbers from 1. by_name: whether columns
    were matched with the model's features by name.
    """

    keys: tuple[str, ...] | None
    times: tuple[tuple[str, ...], ...] | None
    sequences: tuple[Array, ...]
    features: tuple[str, ...]
    by_name: bool


def parse(place: Path, rules: TableRules | None = None) -> Table:
    """Read a .csv file. The first line is a header if none of its cells is a number.

    It is also a header if `rules` name columns. Raises InputError for lines of different widths, an
    empty file, column names that occur twice, and rules for a file without a header.
    """
    rules = rules or TableRules()
    try:
        with place.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            lines = {reader.line_num: line for line in reader if line}  # noqa: B035
    except csv.Error as error:  # not a ValueError
        raise InputError("E-DATA-DAMAGED", f"{place}: cannot be read as .csv: {error}") from error
    first = next(iter(lines), 0)
    header = None
    if lines and (_any_named(rules, lines[first]) or not any(map(_is_number, lines[first]))):
        header = tuple(cell.strip() for cell in lines.pop(first))
    if header is None and rules.named:
        raise InputError(
            "E-DATA-COLUMN",
            f"{place}: its first line names no columns, so '{rules.named[0]}' cannot be found;"
            " add a line with the column names",
        )
    widths = {len(line) for line in lines.values()}
    if len(widths | ({len(header)} if header and lines else set())) != 1:
        raise InputError(
            "E-DATA-RAGGED",
            f"{place}: its lines have {sorted(widths) or 'no'} values; expected the same number in"
            " each line" + (f", and {len(header)} as in the header" if header else ""),
        )
    separator = next((c for c in ";\t" if any(c in cell for cell in header or ())), None)
    if separator and len(header or ()) == 1:
        raise InputError(
            "E-DATA-TEXT",
            f"{place}: its values are separated by {separator!r}; expected a comma, and a point in"
            " decimal numbers",
        )
    twice = [name for name, count in Counter(header or ()).items() if count > 1]
    if rules.named and twice:
        raise InputError(
            "E-DATA-COLUMN", f"{place}: two columns are called '{twice[0]}'; rename one of them"
        )
    return Table(place, header, lines)


def sequences_of(
    table: Table, rules: TableRules, width: int | None, known: Sequence[str] = ()
) -> SequenceTable:
    """Return the sequences of a table.

    width: the number of the model's features, None if each line may have any. known: the names of
    the model's features in its order, if the bundle has them. Raises InputError if the columns do
    not fit the model, for a cell that is not a number, and for two steps at the same time.
    """
    columns, by_name = feature_columns(table, rules, width, tuple(known))
    rows = list(table.lines)
    values = np.array([[_number(table, row, c) for c in columns] for row in rows], np.float64)
    groups: dict[str, list[int]] = {}
    key = table.column(rules.id) if rules.id is not None else None
    for index, row in enumerate(rows):
        text = "" if key is None else table.lines[row][key].strip()
        if key is not None and not text:
            raise InputError(
                "E-DATA-TEXT", f"{table.place}: line {row}: the id in '{rules.id}' is empty"
            )
        groups.setdefault(text, []).append(index)
    times = None
    if rules.time is not None:
        at = table.column(rules.time)
        texts = [table.lines[row][at].strip() for row in rows]
        groups = {k: _sorted(table, rules.time, texts, rows, g) for k, g in groups.items()}
        times = tuple(tuple(texts[i] for i in g) for g in groups.values())
    names = tuple(table.header[c] if table.header else str(c + 1) for c in columns)
    keys = None if key is None else tuple(groups)
    return SequenceTable(keys, times, tuple(values[g] for g in groups.values()), names, by_name)


def summary(lengths: Sequence[int], features: Sequence[str] | int | None) -> str:
    """Describe what was read: "5 sequences, 12 to 20 steps, 3 features (temp, hum, load)"."""
    low, high = min(lengths), max(lengths)
    steps = f"{low} to {high} steps" if low != high else _count(low, "step")
    parts = [_count(len(lengths), "sequence"), steps]
    if isinstance(features, int):
        parts.append(_count(features, "feature"))
    elif features is not None:
        shown = ", ".join(features[:8]) + (", ..." if len(features) > 8 else "")
        parts.append(f"{_count(len(features), 'feature')} ({shown})")
    return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _any_named(rules: TableRules, line: Sequence[str]) -> bool:
    return any(name in [cell.strip() for cell in line] for name in rules.named)


def feature_columns(
    table: Table, rules: TableRules, width: int | None, known: tuple[str, ...]
) -> tuple[list[int], bool]:
    """Return the columns of the features in the model's order, and whether names chose them."""
    if rules.features:
        columns = [table.column(name) for name in rules.features]
        _refuse_other_set(table, rules.features, known)
        wanted = known if set(known) == set(rules.features) else rules.features
        columns, by_name = [table.column(name) for name in wanted], True
    elif table.header and known:
        columns, by_name = [table.column(name) for name in known], True
    else:
        special = {table.column(n) for n in (rules.id, rules.time) if n is not None}
        columns, by_name = [c for c in range(table.width) if c not in special], False
    if width is not None and len(columns) != width:
        raise _wrong_width(table, rules, columns, width)
    return columns, by_name


def _refuse_other_set(table: Table, given: tuple[str, ...], known: tuple[str, ...]) -> None:
    if known and set(given) != set(known) and len(set(given) & set(known)) > 0:
        raise InputError(
            "E-DATA-FEATURES",
            f"--features {','.join(given)}: the features of the model are {', '.join(known)}; give"
            " these names, or rename the columns of the file",
        )


def _wrong_width(table: Table, rules: TableRules, columns: Sequence[int], width: int) -> InputError:
    shown = ", ".join(table.header[c] for c in columns) if table.header else "without names"
    message = (
        f"{table.place}: expected {_count(width, 'feature')}, got {len(columns)} columns ({shown})"
    )
    advice = "; name the columns: --features A,B,..., and --id ID and --time T of a long table"
    return InputError("E-DATA-FEATURES", message + advice)


def _number(table: Table, row: int, column: int) -> float:
    text = table.lines[row][column]
    try:
        return float(text)
    except ValueError as error:
        raise _no_number(table, row, column, text) from error


def _no_number(table: Table, row: int, column: int, text: str) -> InputError:
    message = f"{table.place}: line {row}, {table.name(column)}: '{text}' is not a number"
    if not text.strip():
        message += "; fill in the missing value, or remove the line"
    elif table.header:
        name = table.header[column]
        message += f"; if it is the key of the sequences, add --id {name}; if a time, --time {name}"
    else:
        message += "; if the column is the key of the sequences, name it in a first line: --id NAME"
    return InputError("E-DATA-TEXT", message)


def _sorted(
    table: Table, name: str, texts: Sequence[str], rows: Sequence[int], group: Sequence[int]
) -> list[int]:
    moments = {index: _moment(table, name, texts[index], rows[index]) for index in group}
    kinds = {isinstance(moment, float) for moment in moments.values()}
    if len(kinds) > 1:
        raise InputError(
            "E-DATA-TIME", f"{table.place}: '{name}' mixes numbers and dates; use one of them"
        )
    try:
        order = sorted(group, key=lambda index: moments[index])
    except TypeError as error:  # dates with and without a time zone
        raise InputError(
            "E-DATA-TIME",
            f"{table.place}: '{name}' mixes dates with and without a time zone; use one of them",
        ) from error
    for a, b in pairwise(order):
        if moments[a] == moments[b]:
            raise InputError(
                "E-DATA-TIME",
                f"{table.place}: lines {rows[a]} and {rows[b]} are of one sequence and have the"
                f" same '{name}', {texts[a]}; if the file holds several sequences, name their key:"
                " --id NAME",
            )
    return order


def _moment(table: Table, name: str, text: str, row: int) -> float | datetime:
    if _is_number(text) and math.isfinite(float(text)):
        return float(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            "E-DATA-TIME",
            f"{table.place}: line {row}: '{text}' in '{name}' is neither a number nor a date such"
            " as 2024-05-01T12:30",
        ) from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
