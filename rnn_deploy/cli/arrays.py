"""Read inputs and write outputs in the format of the file's ending.

    .npz    arrays by name
    .npy    the array of a model with one input (or output)
    .csv    numbers, with or without a header line: one sequence with a line per step if the model
            takes (batch, time, width), a line per sequence if it takes (batch, time)
    .jsonl  a line of JSON per sequence: nested lists, or an object by name

Text has no dtypes, so its numbers are converted to the model's dtypes; arrays keep theirs. JSON has
no NaN and no infinity, so they are read and written as the strings "nan", "inf" and "-inf".
"""

import csv
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnn_deploy.bundle import npz
from rnn_deploy.bundle.json_values import finite
from rnn_deploy.errors import InputError
from rnn_deploy.spec import Array, EntryPoint, TensorSpec

NOT_FINITE = ("nan", "inf", "-inf")
ENDINGS = (".npz", ".npy", ".csv", ".jsonl")


def read_arrays(place: Path, entry: EntryPoint) -> dict[str, Array]:
    """Read the inputs of `entry` from a file; InputError if it does not hold them."""
    reader = _READERS.get(place.suffix.lower())
    if reader is None:
        raise InputError("E-DATA-ENDING", f"{place}: a file of inputs must end in {_endings()}")
    return _read(place, lambda: reader(place, entry))


def read_npz(place: Path) -> dict[str, Array]:
    """Return the arrays of an .npz file by name; InputError if it cannot be read."""
    return _read(place, lambda: npz.read_npz(place))


def _read(place: Path, reader: Callable[[], dict[str, Array]]) -> dict[str, Array]:
    if not place.is_file():
        raise InputError("E-DATA-NOT-FOUND", f"{place}: no such file")
    try:
        return reader()
    except (ValueError, OSError, EOFError, RecursionError) as error:
        raise InputError(
            "E-DATA-DAMAGED", f"{place}: cannot be read as {place.suffix or '.npz'}: {error}"
        ) from error


def check_output(place: Path | None, entry: EntryPoint) -> None:
    """Raise InputError if the outputs cannot be written to `place`, or printed if it is None."""
    ending = ".jsonl" if place is None else place.suffix.lower()
    if ending not in ENDINGS:
        raise InputError("E-DATA-ENDING", f"{place}: a file of outputs must end in {_endings()}")
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
        value = np.lib.format.read_array(file, allow_pickle=False)
    return {_only(entry, place).name: value}


def _read_csv(place: Path, entry: EntryPoint) -> dict[str, Array]:
    tensor = _only(entry, place)
    with place.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        lines = {reader.line_num: line for line in reader if line}  # noqa: B035
    first = next(iter(lines), 0)
    if lines and not any(map(_is_number, lines[first])):
        del lines[first]
    widths = {len(line) for line in lines.values()}
    if len(widths) != 1:
        raise InputError(
            "E-DATA-RAGGED",
            f"{place}: its lines have {sorted(widths) or 'no'} values; expected the same number in"
            " each line",
        )
    if np.dtype(tensor.dtype).kind == "f" and _counts_columns(list(lines.values())):
        raise InputError(
            "E-DATA-HEADER",
            f"{place}: its first line, {', '.join(lines[first][:3])}, ..., looks like the names of"
            " numbered columns; remove it (pandas: header=False), or write 0.0 in place of 0 if it"
            " is a step",
        )
    value = np.array([_floats(number, line) for number, line in lines.items()])
    return {tensor.name: _cast(value[None] if len(tensor.shape) == 3 else value, tensor, place)}


def _read_jsonl(place: Path, entry: EntryPoint) -> dict[str, Array]:
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


def _stacked(samples: list[Any], tensor: TensorSpec, place: Path) -> Array:
    try:
        shapes = {np.shape(sample) for sample in samples}
    except ValueError as error:  # NumPy's message does not name the file
        raise InputError(
            "E-DATA-RAGGED",
            f"{place}: the steps of '{tensor.name}' have different widths; expected the same number"
            " of values in each",
        ) from error
    if len(shapes) > 1:
        raise InputError(
            "E-DATA-RAGGED",
            f"{place}: lines of the shapes {sorted(shapes)} cannot be one batch; give sequences of"
            " the same length, or a file for each length",
        )
    return _cast(np.array(samples), tensor, place)


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


def _counts_columns(lines: list[list[str]]) -> bool:
    """Return whether only the first line counts from 0, like the names of unnamed columns.

    With two columns the line is taken as a step: flags and one-hot steps consist of 0 and 1.
    """
    counted = [str(column) for column in range(len(lines[0]))]
    whole = all(cell.strip().lstrip("+-").isdigit() for line in lines[1:] for cell in line)
    return len(counted) > 2 and lines[0] == counted and not whole


def _floats(number: int, line: list[str]) -> list[float]:
    try:
        return [float(cell) for cell in line]
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _endings() -> str:
    return ", ".join(ENDINGS)


_READERS: dict[str, Callable[[Path, EntryPoint], dict[str, Array]]] = {
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
