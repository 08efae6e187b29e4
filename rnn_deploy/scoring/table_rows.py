"""Convert the rows of an Arrow table to sequences."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.inference.preprocessing import TEXT
from rnn_deploy.optional import require
from rnn_deploy.scoring.arrow import MISSING, is_number, numbers, ragged_of
from rnn_deploy.scoring.layout import TableLayout
from rnn_deploy.scoring.sequences import Fault, Ragged, Sequences
from rnn_deploy.spec import Array


def keys_of(column: Any) -> Any:
    """Return keys as an Arrow array of int64 or string."""
    arrow = require("pyarrow")
    if isinstance(column, arrow.ChunkedArray):
        column = column.combine_chunks()
    kind = column.type.value_type if arrow.types.is_dictionary(column.type) else column.type
    return column.cast(arrow.int64() if arrow.types.is_integer(kind) else arrow.string())


def sequences_from_lists(table: Any, layout: TableLayout, first_row: int) -> Sequences:
    """Return the sequences of a table with a list column for each input."""
    arrow = require("pyarrow")
    rules = layout.inputs.rules
    faults: dict[int, Fault] = {}
    keys = arrow.array(np.arange(first_row, first_row + table.num_rows))
    if rules.id is not None:
        keys = keys_of(table[rules.id])
        faults |= missing_keys(keys)
    feeds: dict[str, Ragged | list[Any]] = {}
    for tensor in layout.inputs.tensors:
        column = table[layout.columns[tensor.name]].combine_chunks()
        if tensor.dtype == TEXT:
            feeds[tensor.name] = texts = column.to_pylist()
            gone = Fault(MISSING, "the text is missing")
            found = {row: gone for row, text in enumerate(texts) if text is None}
        else:
            feeds[tensor.name], found = ragged_of(column, tensor)
        named = {r: Fault(f.code, f"input '{tensor.name}': {f.reason}") for r, f in found.items()}
        faults = named | faults
    return Sequences(keys, feeds, faults)


def missing_keys(keys: Any) -> dict[int, Fault]:
    """Return a fault for each row without a key."""
    missing = keys.is_null()
    if keys.type == require("pyarrow").string():
        missing = require("pyarrow.compute").or_kleene(missing, keys == "")
    gaps = np.flatnonzero(missing.to_numpy(zero_copy_only=False))
    return {int(row): Fault("E-SCORE-KEY", "the key is missing") for row in gaps}


def starts_of(keys: Any) -> Array:
    """Return the rows of a long table at which a new sequence starts."""
    compute = require("pyarrow.compute")
    if not len(keys):
        return np.empty(0, np.int64)
    changed = compute.fill_null(compute.not_equal(keys[1:], keys[:-1]), True)
    return np.concatenate([[0], np.flatnonzero(changed.to_numpy(zero_copy_only=False)) + 1])


def whole_sequences(batches: Iterator[Any], layout: TableLayout, most: int) -> Iterator[Any]:
    """Yield long tables of about `most` rows; each ends at the end of a sequence."""
    arrow = require("pyarrow")
    waiting: list[Any] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        if rows < most:
            continue
        table = arrow.concat_tables(waiting)
        last = int(starts_of(keys_of(table[layout.inputs.key_name]))[-1])
        if last:
            yield table.slice(0, last)
        waiting = [table.slice(last)]
        rows = waiting[0].num_rows
    if rows:
        yield arrow.concat_tables(waiting)


def sequences_from_steps(table: Any, layout: TableLayout) -> Sequences:
    """Return the sequences of a long table; two steps at one time make a sequence a fault."""
    tensor = layout.inputs.only
    assert tensor is not None
    keys = keys_of(table[layout.inputs.key_name])
    starts = starts_of(keys)
    ragged = Ragged(np.empty(0), np.concatenate([starts, [len(keys)]]).astype(np.int64))
    heads = keys.take(require("pyarrow").array(starts))
    faults = missing_keys(heads)
    columns = []
    for name in layout.features:
        column = table[name].combine_chunks()
        if column.null_count:
            gaps = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
            gap = Fault(MISSING, f"a value is missing in column '{name}'")
            faults = {int(row): gap for row in np.unique(ragged.row_of(gaps))} | faults
        columns.append(numbers(column))
    values = np.stack(columns, axis=1) if len(tensor.shape) > 2 else columns[0]
    if layout.inputs.rules.time is not None:
        order, found = _in_order(table[layout.inputs.rules.time], ragged, layout.inputs.rules.time)
        values, faults = values if order is None else values[order], found | faults
    return Sequences(heads, {tensor.name: replace(ragged, values=values)}, faults)


def _in_order(column: Any, rows: Ragged, name: str) -> tuple[Array | None, dict[int, Fault]]:
    """Return the order of the steps, None if they are in order, and sequences with equal times."""
    column = column.combine_chunks()
    gaps = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
    gap = Fault(MISSING, f"the time is missing in column '{name}'")
    faults = {int(row): gap for row in np.unique(rows.row_of(gaps))}
    moments = _moments(column, name)
    owner = np.repeat(np.arange(len(rows)), rows.lengths)
    inside = owner[1:] == owner[:-1]
    order = None
    if (inside & (moments[1:] < moments[:-1])).any():
        order = np.lexsort((moments, owner))
        moments = moments[order]
    twice = np.flatnonzero(inside & (moments[1:] == moments[:-1]))
    same = Fault("E-DATA-TIME", f"two steps have the same time in column '{name}'")
    return order, {int(row): same for row in np.unique(owner[twice])} | faults


def _moments(column: Any, name: str) -> Any:
    arrow = require("pyarrow")
    kind = column.type
    if is_number(kind):
        return numbers(column)
    if arrow.types.is_timestamp(kind) or arrow.types.is_date64(kind):
        return numbers(column.cast(arrow.int64()))
    as_time = [arrow.timestamp("us"), arrow.timestamp("us", "UTC")]
    for target in [arrow.float64(), *as_time] if arrow.types.is_string(kind) else as_time:
        with suppress(arrow.ArrowException):  # the next type may fit
            moments = column.cast(target)
            return numbers(moments if target == arrow.float64() else moments.cast(arrow.int64()))
    raise InputError(
        "E-DATA-TIME",
        f"column '{name}' of the type {kind} cannot order the steps; use numbers or dates such as"
        " 2024-05-01T12:30",
    )
