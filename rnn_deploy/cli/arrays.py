"""Read inputs and write outputs in the format of the file's ending.

    .npz    arrays by name
    .npy    the array of a model with one input (or output)
    .csv    numbers, with or without a header line (inference/tables.py): a line per step if the
            model takes (batch, time, width), a line per sequence if it takes (batch, time)
    .jsonl  a line of JSON per sequence: nested lists, or an object by name

Text has no dtypes, so its numbers are converted to the model's dtypes; arrays keep theirs. JSON has
no NaN and no infinity, so they are read and written as the strings "nan", "inf" and "-inf".
"""

import csv
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from rnn_deploy.bundle import npz
from rnn_deploy.bundle.json_values import finite
from rnn_deploy.bundle.npy import read_npy
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
from rnn_deploy.spec import Array, EntryPoint, TensorSpec

T = TypeVar("T")
NOT_FINITE = ("nan", "inf", "-inf")
ENDINGS = (".npz", ".npy", ".csv", ".jsonl")


@dataclass(frozen=True)
class ReadInputs:
    """Inputs of a file: arrays, lists of arrays, or lists of texts.

    table: the keys and times of a .csv file. summary_line: a sentence about the file.
    """

    feeds: Mapping[str, Any]
    table: SequenceTable | None = None
    summary_line: str | None = None


def read_inputs(
    place: Path, entry: EntryPoint, rules: TableRules, known: Sequence[str] = ()
) -> ReadInputs:
    """Read the inputs of `entry`, sequences of different lengths too.

    rules: the columns of a .csv file. known: the names of the model's features. Raises InputError
    if the file does not hold them, and for rules that do not apply to its kind.
    """
    ending = place.suffix.lower()
    if ending == ".txt" and any(tensor.dtype == TEXT for tensor in entry.inputs):
        return _read(place, lambda: _read_lines(place, entry))
    if rules.named and ending != ".csv":
        raise InputError(
            "E-OPTION-CONFLICT",
            f"--id, --time and --features apply only to .csv files, and --inputs is {place}; remove"
            " them",
        )
    if ending == ".csv":
        return _read(place, lambda: _read_table(place, entry, rules, known))
    if ending == ".jsonl":
        feeds = _read(place, lambda: _read_jsonl(place, entry))
        if any(tensor.dtype == TEXT for tensor in entry.inputs):
            count = len(next(iter(feeds.values())))
            return ReadInputs(feeds, None, f"read {count} {'text' if count == 1 else 'texts'}")
        counted = (feeds[t.name] for t in entry.inputs if has_time(t) and t.name in feeds)
        lengths = [len(row) for value in counted for row in value if np.ndim(row)]
        width = entry.inputs[0].shape[2:]
        known_width = width[0] if width and isinstance(width[0], int) else None
        summary_line = summary(lengths, known_width) if len(entry.inputs) == 1 and lengths else None
        return ReadInputs(feeds, None, summary_line and f"read {summary_line}")
    return ReadInputs(dict(read_arrays(place, entry)))


def read_arrays(place: Path, entry: EntryPoint) -> dict[str, Array]:
    """Read the inputs of `entry` from a file; InputError if it does not hold them."""
    feeds: dict[str, Array] = {}
    for name, value in _read(place, lambda: _reader_of(place)(place, entry)).items():
        if isinstance(value, list):
            shapes = sorted({row.shape for row in value})
            raise InputError(
                "E-DATA-RAGGED",
                f"{place}: lines of the shapes {shapes} cannot be one batch; give sequences of"
                " the same length, or a file for each length",
            )
        feeds[name] = value
    return feeds


def read_npz(place: Path) -> dict[str, Array]:
    """Return the arrays of an .npz file by name; InputError if it cannot be read."""
    return _read(place, lambda: npz.read_npz(place))


def _reader_of(place: Path) -> "Callable[[Path, EntryPoint], Mapping[str, Fitted]]":
    if place.suffix.lower() not in _READERS:
        raise InputError("E-DATA-ENDING", f"{place}: a file of inputs must end in {_endings()}")
    return _READERS[place.suffix.lower()]


def _read(place: Path, reader: Callable[[], T]) -> T:
    if not place.is_file():
        raise InputError("E-DATA-NOT-FOUND", f"{place}: no such file")
    try:
        return reader()
    except (ValueError, OSError, EOFError, RecursionError, OverflowError, csv.Error) as error:
        raise InputError(
            "E-DATA-DAMAGED", f"{place}: cannot be read as {place.suffix or '.npz'}: {error}"
        ) from error


def check_output(place: Path | None, entry: EntryPoint) -> None:
    """Raise InputError if the outputs cannot be written to `place`, or printed if it is None."""
    ending = ".jsonl" if place is None else place.suffix.lower()
    if ending not in ENDINGS:
        raise InputError("E-OPTION-ENDING", f"{place}: a file of outputs must end in {_endings()}")
    if ending in (".npy", ".csv") and len(entry.outputs) != 1:
        names = ", ".join(tensor.name for tensor in entry.outputs)
        raise InputError(
            "E-DATA-ONE-ARRAY",
            f"{place}: {ending} holds one array, the model has the outputs {names}; use .npz",
        )
    if ending == ".jsonl" and entry.of_whole_batch:
        raise InputError(
            "E-DATA-NO-ROWS",
            f"output '{entry.of_whole_batch[0]}' has no row per sequence, so it cannot be a line of"
            " JSON; write the outputs to a file with -o FILE.npz",
        )


def write_arrays(place: Path, arrays: Mapping[str, Array]) -> None:
    """Write outputs by name to a file, in the format of its ending."""
    _WRITERS[place.suffix.lower()](place, arrays)


def json_lines(arrays: Mapping[str, Array]) -> list[str]:
    """Return a line of JSON per sequence: the value of the only array, or an object by name."""
    batch = next(iter(arrays.values())).shape[0]
    if len(arrays) == 1:
        (only,) = arrays.values()
        return [_json(only[i].tolist()) for i in range(batch)]
    return [
        _json({name: value[i].tolist() for name, value in arrays.items()}) for i in range(batch)
    ]


def _json(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(finite(value), allow_nan=False)


def _read_npy(place: Path, entry: EntryPoint) -> dict[str, Array]:
    if zipfile.is_zipfile(place):
        raise InputError("E-DATA-ENDING", f"{place}: is an .npz file; rename it to .npz")
    with place.open("rb") as file:
        value = read_npy(file, place.stat().st_size)
    return {_only(entry, place).name: value}


def _read_lines(place: Path, entry: EntryPoint) -> ReadInputs:
    tensor = _only(entry, place)
    if len(tensor.shape) > 1:
        raise InputError(
            "E-DATA-ENDING", f"{place}: input '{tensor.name}' takes a list of words; use .jsonl"
        )
    texts = place.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    return ReadInputs({tensor.name: texts}, None, f"read {len(texts)} texts")


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


def _read_csv(place: Path, entry: EntryPoint) -> dict[str, Fitted]:
    return dict(_read_table(place, entry, TableRules(), ()).feeds)


def _read_table(
    place: Path, entry: EntryPoint, rules: TableRules, known: Sequence[str]
) -> ReadInputs:
    tensor = _only(entry, place)
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
        _cast(row if len(tensor.shape) > 2 else row[:, 0], tensor, place) for row in read.sequences
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
    return ReadInputs({tensor.name: _cast(value, tensor, table.place)}, done, summary_line)


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


def _read_jsonl(place: Path, entry: EntryPoint) -> dict[str, Fitted]:
    lines = place.read_text(encoding="utf-8-sig").splitlines()
    samples = [_numbers(json.loads(line)) for line in lines if line.strip()]
    if not samples:
        raise InputError("E-DATA-EMPTY", f"{place}: is empty; expected a line per sequence")
    if not all(isinstance(sample, dict) for sample in samples):
        tensor = _only(entry, place)
        return {tensor.name: _stacked(samples, tensor, place)}
    by_name = {tensor.name: tensor for tensor in entry.inputs}
    unknown = {name for sample in samples for name in sample} - set(by_name)
    missing = [n for n in by_name if any(n not in sample for sample in samples)]
    if unknown or missing:
        raise InputError(
            "E-DATA-NAMES",
            f"{place}: every object must have the names {', '.join(sorted(by_name))} and no others",
        )
    return {
        name: _stacked([sample[name] for sample in samples], tensor, place)
        for name, tensor in by_name.items()
    }


def _numbers(value: Any) -> Any:
    """Convert the strings "nan", "inf" and "-inf" to numbers."""
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    return float(value) if value in NOT_FINITE else value


def _stacked(samples: list[Any], tensor: TensorSpec, place: Path) -> Fitted:
    if tensor.dtype == TEXT:
        return samples  # preprocessing takes text, and token ids as they are
    try:
        shapes = {np.shape(sample) for sample in samples}
    except ValueError as error:  # NumPy's message does not name the file
        raise InputError(
            "E-DATA-RAGGED",
            f"{place}: the steps of '{tensor.name}' have different widths; expected the same number"
            " of values in each",
        ) from error
    if len(shapes) == 1:
        return _cast(np.array(samples), tensor, place)
    if len({shape[1:] for shape in shapes}) > 1 or () in shapes or not has_time(tensor):
        raise InputError(
            "E-DATA-RAGGED",
            f"{place}: lines of the shapes {sorted(shapes)} cannot be one input; expected sequences"
            " that differ only in their number of steps",
        )
    return [_cast(np.array(sample), tensor, place) for sample in samples]


def _cast(value: Array, tensor: TensorSpec, place: Path) -> Array:
    if value.dtype.kind not in "fiub":
        raise InputError(
            "E-DATA-NO-NUMBERS", f"{place}: '{tensor.name}' needs numbers, got {value.dtype}"
        )
    with np.errstate(invalid="ignore", over="ignore"):  # refused below, or reported as infinity
        cast = value.astype(tensor.dtype)
    if np.dtype(tensor.dtype).kind in "iub" and not np.array_equal(cast, value):
        found = value[cast != value].flat[0]
        raise InputError(
            "E-DATA-DTYPE", f"{place}: '{tensor.name}' takes {tensor.dtype}, got {found}"
        )
    return cast


def _write_npy(draft: Path, arrays: Mapping[str, Array]) -> None:
    (only,) = arrays.values()
    with draft.open("wb") as file:  # given a path, np.save would add .npy to .NPY
        np.save(file, only)


def _write_csv(draft: Path, arrays: Mapping[str, Array]) -> None:
    (only,) = arrays.values()
    rows = only[0] if only.ndim == 3 and only.shape[0] == 1 else only
    if rows.ndim != 2:
        raise InputError(
            "E-DATA-CSV-SHAPE", f"a .csv holds one sequence, the output is {only.shape}; use .npz"
        )
    digits = {"f": "%.17g" if rows.dtype == np.float64 else "%.9g"}  # enough for every bit
    np.savetxt(draft, rows, delimiter=",", fmt=digits.get(rows.dtype.kind, "%d"))


def _write_jsonl(draft: Path, arrays: Mapping[str, Array]) -> None:
    draft.write_text("".join(line + "\n" for line in json_lines(arrays)), encoding="utf-8")


def _only(entry: EntryPoint, place: Path) -> TensorSpec:
    if len(entry.inputs) != 1:
        names = ", ".join(tensor.name for tensor in entry.inputs)
        raise InputError(
            "E-DATA-ONE-ARRAY",
            f"{place}: holds one array, the model has the inputs {names}; use .npz",
        )
    return entry.inputs[0]


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


def _endings() -> str:
    return ", ".join(ENDINGS)


_READERS: dict[str, Callable[[Path, EntryPoint], Mapping[str, Fitted]]] = {
    ".npz": lambda place, entry: npz.read_npz(place),
    ".npy": _read_npy,
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
}
_WRITERS: dict[str, Callable[[Path, Mapping[str, Array]], None]] = {
    ".npz": npz.write_npz,
    ".npy": _write_npy,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
}
