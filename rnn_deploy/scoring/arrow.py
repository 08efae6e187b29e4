"""Convert Arrow columns to arrays and back.

An input is a list column: list<double> for (time,), list<list<double>> or a list of fixed-size
lists for (time, features), a fixed-shape tensor, or plain numbers for one number per sequence. An
output is written in the same way: numbers, a fixed-size list, or a list over time.
"""

from typing import Any

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.optional import require
from rnn_deploy.scoring.sequences import Fault, Ragged, uniform
from rnn_deploy.spec import Array, TensorSpec

MISSING = "E-DATA-MISSING"


def is_list(kind: Any) -> bool:
    """Return whether an Arrow type holds several values in each row."""
    types = require("pyarrow.types")
    return bool(
        types.is_list(kind)
        or types.is_large_list(kind)
        or types.is_fixed_size_list(kind)
        or hasattr(kind, "storage_type")
    )


def depth_of(kind: Any) -> tuple[int, Any]:
    """Return how many lists an Arrow type nests, and the type of its values."""
    if hasattr(kind, "storage_type"):  # a fixed-shape tensor
        return len(kind.shape), kind.value_type
    depth = 0
    while is_list(kind):
        depth, kind = depth + 1, kind.value_type
    return depth, kind


def is_number(kind: Any) -> bool:
    """Return whether values of an Arrow type become numbers without parsing."""
    types = require("pyarrow.types")
    return bool(
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_decimal(kind)
    )


def ragged_of(column: Any, tensor: TensorSpec) -> tuple[Ragged, dict[int, Fault]]:
    """Return the values of a column for an input, and the rows without values.

    column: an Arrow array whose type `depth_of` accepts. A row with a missing value, or with
    steps of different widths, becomes a fault and an empty row.
    """
    rank = len(tensor.shape) - 1
    if hasattr(column.type, "storage_type") and not column.null_count:
        return uniform(column.to_numpy_ndarray()), {}
    arrow = require("pyarrow")
    faults: dict[int, Fault] = {}
    good = list(range(len(column)))
    found, more = _flattened(column, rank)
    while more:  # without the faulty rows, faults of another kind may appear
        faults |= {good[row]: fault for row, fault in more.items()}
        good = [row for row in good if row not in faults]
        found, more = _flattened(column.take(arrow.array(good, arrow.int64())), rank)
    lengths = np.zeros(len(column), np.int64)
    lengths[good] = found.lengths
    return Ragged(found.values, np.concatenate([[0], np.cumsum(lengths)])), faults


def _flattened(column: Any, rank: int) -> tuple[Ragged, dict[int, Fault]]:
    compute = require("pyarrow.compute")
    faults: dict[int, Fault] = {}
    empty = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
    faults.update((int(row), Fault(MISSING, "the value is missing")) for row in empty)
    if hasattr(column.type, "storage_type"):
        shape = column.type.shape
        column = column.storage
        lengths, widths = np.full(len(column) - len(empty), shape[0]), list(shape[1:])
        flat = column.flatten()
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return Ragged(numbers(flat).reshape(-1, *widths), offsets), faults
    if not is_list(column.type):
        return uniform(numbers(column)), faults
    lengths = compute.fill_null(compute.list_value_length(column), 0).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths.astype(np.int64))])
    rows = Ragged(np.empty(0), offsets)
    flat, widths = column.flatten(), []
    while is_list(flat.type):
        inner = compute.fill_null(compute.list_value_length(flat), -1).to_numpy()
        usual = int(np.bincount(inner[inner >= 0]).argmax()) if (inner >= 0).any() else 0
        odd = np.flatnonzero(inner != usual)
        if len(odd):
            step = odd // max(1, int(np.prod(widths)))
            wrong = Fault("E-DATA-RAGGED", f"its steps do not all have {usual} values")
            faults |= {int(row): wrong for row in np.unique(rows.row_of(step)) if row not in faults}
            return Ragged(np.empty((0, usual)), offsets), faults
        widths.append(usual)
        flat = flat.flatten()
    if flat.null_count:
        places = np.flatnonzero(flat.is_null().to_numpy(zero_copy_only=False))
        step = places // max(1, int(np.prod(widths)))
        gap = Fault(MISSING, "a value is missing")
        faults |= {int(row): gap for row in np.unique(rows.row_of(step)) if row not in faults}
    if rank == 2 and not widths:  # (time, 1) as plain numbers
        widths = [1]
    return Ragged(numbers(flat).reshape(-1, *widths), offsets), faults


def numbers(array: Any) -> Array:
    """Return the values of an Arrow array of numbers; missing ones are zero."""
    arrow, compute = require("pyarrow"), require("pyarrow.compute")
    types = arrow.types
    if types.is_decimal(array.type) or types.is_float16(array.type):
        array = array.cast(arrow.float64() if types.is_decimal(array.type) else arrow.float32())
    if array.null_count:
        array = compute.fill_null(array, arrow.scalar(0, arrow.int8()).cast(array.type))
    return array.to_numpy(zero_copy_only=False)


def type_of(tensor: TensorSpec) -> Any:
    """Return the Arrow type of a row of an output or a state."""
    arrow = require("pyarrow")
    kind = arrow.from_numpy_dtype(np.dtype(tensor.dtype))
    time, *widths = tensor.shape[1:] or (1,)
    if any(isinstance(width, str) for width in widths):
        raise InputError(
            "E-SCORE-OUTPUT",
            f"output '{tensor.name}' has the shape ({', '.join(map(str, tensor.shape))}), which no"
            " column can hold; run it with: rnn-deploy run",
        )
    for width in reversed(widths):
        kind = kind if widths == [1] else arrow.list_(kind, int(width))
    if isinstance(time, str):
        return arrow.list_(kind)
    return kind if not widths and time == 1 else arrow.list_(kind, int(time))


def column_of(tensor: TensorSpec, rows: list[Array | None]) -> Any:
    """Return the column of an output, one item per row, null for rows without a result."""
    arrow = require("pyarrow")
    kind = type_of(tensor)
    there = np.array([row is not None for row in rows], bool)
    good = [row for row in rows if row is not None]
    mask = arrow.array(~there) if not there.all() else None
    width = int(np.prod([dim for dim in tensor.shape[2:] if isinstance(dim, int)]))
    over_time = len(tensor.shape) > 1 and isinstance(tensor.shape[1], str)
    if over_time:
        lengths = np.zeros(len(rows), np.int32)
        lengths[there] = [len(row) for row in good]
        flat = np.concatenate(good) if good else np.empty(0, tensor.dtype)
        values = _nested(arrow.array(flat.ravel().astype(tensor.dtype)), kind.value_type)
        offsets = arrow.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
        return arrow.ListArray.from_arrays(offsets, values, type=kind, mask=mask)
    size = width * int(tensor.shape[1] if len(tensor.shape) > 1 else 1)
    full = np.zeros((len(rows), size), tensor.dtype)
    if good:
        full[there] = np.stack(good).reshape(len(good), size)
    if not is_list(kind):
        return arrow.array(full[:, 0], mask=~there)
    values = _nested(arrow.array(full.ravel()), kind.value_type)
    return arrow.FixedSizeListArray.from_arrays(values, type=kind, mask=mask)


def _nested(values: Any, kind: Any) -> Any:
    arrow = require("pyarrow")
    if not is_list(kind):
        return values
    return arrow.FixedSizeListArray.from_arrays(_nested(values, kind.value_type), type=kind)
