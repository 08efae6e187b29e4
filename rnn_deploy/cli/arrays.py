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
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from rnn_deploy.bundle import npz
from rnn_deploy.bundle.json_values import finite
from rnn_deploy.bundle.npy import read_npy
from rnn_deploy.cli.converting import ReadInputs, only_input, stacked
from rnn_deploy.cli.table_inputs import read_table
from rnn_deploy.errors import InputError
from rnn_deploy.inference.fitting import Fitted
from rnn_deploy.inference.lengths import has_time
from rnn_deploy.inference.preprocessing import TEXT
from rnn_deploy.inference.tables import (
    TableRules,
    summary,
)
from rnn_deploy.spec import Array, EntryPoint

T = TypeVar("T")
NOT_FINITE = ("nan", "inf", "-inf")
ENDINGS = (".npz", ".npy", ".csv", ".jsonl")


def read_inputs(
    place: Path, entry: EntryPoint, rules: TableRules, known: Sequence[str] = ()
) -> ReadInputs:
    """Read the inputs of `entry`, sequences of different lengths too.

    rules: the columns of a .csv file. known: the names of the model's features. Raises InputError
    if they are missing in the file, or if the rules do not apply to the file's format.
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
        return _read(place, lambda: read_table(place, entry, rules, known))
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
    """Read the inputs of `entry` from a file; raise InputError if one is missing."""
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
    """Return the arrays of an .npz file by name; raise InputError if it cannot be read."""
    return _read(place, lambda: npz.read_npz(place))


def _reader_of(place: Path) -> "Callable[[Path, EntryPoint], Mapping[str, Fitted]]":
    if place.suffix.lower() not in _READERS:
        raise InputError("E-DATA-ENDING", f"{place}: an input file must end in {_endings()}")
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
        raise InputError("E-OPTION-ENDING", f"{place}: an output file must end in {_endings()}")
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
    return {only_input(entry, place).name: value}


def _read_lines(place: Path, entry: EntryPoint) -> ReadInputs:
    tensor = only_input(entry, place)
    if len(tensor.shape) > 1:
        raise InputError(
            "E-DATA-ENDING", f"{place}: input '{tensor.name}' takes a list of words; use .jsonl"
        )
    texts = place.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    return ReadInputs({tensor.name: texts}, None, f"read {len(texts)} texts")


def _read_csv(place: Path, entry: EntryPoint) -> dict[str, Fitted]:
    return dict(read_table(place, entry, TableRules(), ()).feeds)


def _read_jsonl(place: Path, entry: EntryPoint) -> dict[str, Fitted]:
    lines = place.read_text(encoding="utf-8-sig").splitlines()
    samples = [numbers_of(json.loads(line)) for line in lines if line.strip()]
    if not samples:
        raise InputError("E-DATA-EMPTY", f"{place}: is empty; expected a line per sequence")
    if not all(isinstance(sample, dict) for sample in samples):
        tensor = only_input(entry, place)
        return {tensor.name: stacked(samples, tensor, place)}
    by_name = {tensor.name: tensor for tensor in entry.inputs}
    unknown = {name for sample in samples for name in sample} - set(by_name)
    missing = [n for n in by_name if any(n not in sample for sample in samples)]
    if unknown or missing:
        raise InputError(
            "E-DATA-NAMES",
            f"{place}: every object must have the names {', '.join(sorted(by_name))} and no others",
        )
    return {
        name: stacked([sample[name] for sample in samples], tensor, place)
        for name, tensor in by_name.items()
    }


def numbers_of(value: Any) -> Any:
    """Convert the strings "nan", "inf" and "-inf" to numbers."""
    if isinstance(value, list):
        return [numbers_of(item) for item in value]
    if isinstance(value, dict):
        return {key: numbers_of(item) for key, item in value.items()}
    return float(value) if value in NOT_FINITE else value


def _write_npy(draft: Path, arrays: Mapping[str, Array]) -> None:
    (only,) = arrays.values()
    with draft.open("wb") as file:  # np.save would append .npy to a path that ends in .NPY
        np.save(file, only)


def _write_csv(draft: Path, arrays: Mapping[str, Array]) -> None:
    (only,) = arrays.values()
    rows = only[0] if only.ndim == 3 and only.shape[0] == 1 else only
    if rows.ndim != 2:
        raise InputError(
            "E-DATA-CSV-SHAPE", f"a .csv holds one sequence, the output is {only.shape}; use .npz"
        )
    digits = {"f": "%.17g" if rows.dtype == np.float64 else "%.9g"}  # restore the exact value
    np.savetxt(draft, rows, delimiter=",", fmt=digits.get(rows.dtype.kind, "%d"))


def _write_jsonl(draft: Path, arrays: Mapping[str, Array]) -> None:
    draft.write_text("".join(line + "\n" for line in json_lines(arrays)), encoding="utf-8")


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
