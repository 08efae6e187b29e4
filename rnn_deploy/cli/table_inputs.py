"""Read the inputs of a model from a table: a line per step, per sequence, or per text."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rnn_deploy.cli.converting import ReadInputs, converted, only_input
from rnn_deploy.errors import InputError
from rnn_deploy.inference.fitting import Fitted
from rnn_deploy.inference.lengths import has_time
from rnn_deploy.inference.preprocessing import TEXT
from rnn_deploy.inference.tables import (
    SequenceTable,
    Table,
    TableRules,
    parse,
    sequences_of,
    summary,
)
from rnn_deploy.spec import EntryPoint, TensorSpec


def _read_texts(table: Table, rules: TableRules, tensor: TensorSpec) -> ReadInputs:
    """Read one text from each line of a .csv file."""
    names = rules.features or tuple(n for n in table.header or () if n not in rules.named)
    if table.header is None and table.width == 1:
        column = 0
    elif len(names) != 1:
        raise InputError(
            "E-DATA-FEATURES",
            f"{table.place}: input '{tensor.name}' takes one column of text, found"
            f" {', '.join(names) or f'{table.width} columns without names'}; add --features COLUMN",
        )
    else:
        column = table.column(names[0])
    texts = [line[column] for line in table.lines.values()]
    keys = None if rules.id is None else _unique_keys(table, rules.id)
    found = SequenceTable(keys, None, (), names, True)
    return ReadInputs({tensor.name: texts}, found, f"read {len(texts)} texts")


def read_table(
    place: Path, entry: EntryPoint, rules: TableRules, known: Sequence[str]
) -> ReadInputs:
    tensor = only_input(entry, place)
    table = parse(place, rules)
    if tensor.dtype == TEXT:
        return _read_texts(table, rules, tensor)
    if table.header is None:
        _refuse_counted_columns(table, tensor)
    if len(tensor.shape) < 3 and not _is_long(rules, tensor):
        return _line_per_sequence(table, rules, tensor, known)
    width = tensor.shape[-1] if len(tensor.shape) > 2 else 1
    read = sequences_of(table, rules, width if isinstance(width, int) else None, known)
    rows = [
        converted(row if len(tensor.shape) > 2 else row[:, 0], tensor, place)
        for row in read.sequences
    ]
    summary_line = f"read {summary([len(row) for row in rows], read.features)}"
    if table.header and not read.by_name:
        summary_line += "; columns in the order of the file: name the model's order with --features"
    value: Fitted = rows if len({len(row) for row in rows}) > 1 else np.stack(rows)
    return ReadInputs({tensor.name: value}, read, summary_line)


def _is_long(rules: TableRules, tensor: TensorSpec) -> bool:
    """Return whether each line of a table is one step of a (batch, time) input."""
    one_column = len(rules.features) == 1 and tensor.shape[1:] != (1,)
    return rules.time is not None or (rules.id is not None and one_column)


def _line_per_sequence(
    table: Table, rules: TableRules, tensor: TensorSpec, known: Sequence[str]
) -> ReadInputs:
    width = tensor.shape[-1] if len(tensor.shape) > 1 else None
    one = TableRules(None, None, rules.features)
    if rules.id is not None and not rules.features:
        others = [name for name in table.header or () if name != rules.id]
        one = TableRules(None, None, tuple(known) or tuple(others))
    read = sequences_of(table, one, width if isinstance(width, int) else None, known)
    (value,) = read.sequences
    keys = None
    if rules.id is not None:
        keys = _unique_keys(table, rules.id)
    summary_line = f"read {len(value)} sequences, a line each, {value.shape[1]} values"
    if table.header and has_names(tensor):
        summary_line += (
            f" ({', '.join(read.features[:8])}{', ...' if len(read.features) > 8 else ''})"
        )
    done = SequenceTable(keys, None, tuple(value), read.features, read.by_name)
    return ReadInputs({tensor.name: converted(value, tensor, table.place)}, done, summary_line)


def _unique_keys(table: Table, name: str) -> tuple[str, ...]:
    at = table.column(name)
    keys = tuple(line[at].strip() for line in table.lines.values())
    if len(set(keys)) < len(keys):
        raise InputError(
            "E-DATA-TEXT",
            f"{table.place}: two lines have the same '{name}'; in a table with a line per step name"
            " the column of the steps too: --features NAME",
        )
    return keys


def has_names(tensor: TensorSpec) -> bool:
    """Return whether the columns of a line are features, and not steps."""
    return not has_time(tensor)


def _refuse_counted_columns(table: Table, tensor: TensorSpec) -> None:
    """Raise InputError if only the first line counts from 0, like the names of unnamed columns.

    With two columns the line is taken as a step: flags and one-hot steps consist of 0 and 1.
    """
    first, *others = table.lines.values()
    counted = [str(column) for column in range(table.width)]
    whole = all(cell.strip().lstrip("+-").isdigit() for line in others for cell in line)
    if (
        np.dtype(tensor.dtype).kind == "f"
        and table.width > 2
        and list(first) == counted
        and not whole
    ):
        raise InputError(
            "E-DATA-HEADER",
            f"{table.place}: its first line, {', '.join(first[:3])}, ..., looks like the names of"
            " numbered columns; remove it (pandas: header=False), or write 0.0 in place of 0 if it"
            " is a step",
        )
