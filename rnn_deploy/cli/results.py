"""Write the outputs of `run` together with the keys, times and windows of the inputs.

Without them, `arrays.py` describes the files. Otherwise:

    .npz     `rnn_deploy/keys`, `rnn_deploy/lengths`, `rnn_deploy/windows` beside the outputs
    .csv     columns for the key, the time or step, and each output value
    .jsonl   an object per sequence, with its key or window
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from rnn_deploy.bundle import npz
from rnn_deploy.bundle.attachments import Attachments
from rnn_deploy.bundle.json_values import finite
from rnn_deploy.cli.arrays import json_lines, write_arrays
from rnn_deploy.errors import InputError
from rnn_deploy.inference.fitting import Fitted
from rnn_deploy.inference.labels import top_labels
from rnn_deploy.inference.lengths import Windows
from rnn_deploy.inference.tables import SequenceTable
from rnn_deploy.spec import Array

TOP = 3  # labels that are printed for each row
KEYS, LENGTHS, WINDOWS = (f"rnn_deploy/{name}" for name in ("keys", "lengths", "windows"))


@dataclass(frozen=True)
class RunResult:
    """Outputs by name: an array, or a list of arrays of sequences of different lengths.

    table: the table that the inputs were read from. windows: the windows that were cut.
    """

    outputs: Mapping[str, Fitted]
    table: SequenceTable | None = None
    windows: Windows | None = None
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    top: int = 0

    @property
    def count(self) -> int:
        """Return the number of rows."""
        return len(next(iter(self.outputs.values())))

    @property
    def shows_labels(self) -> bool:
        """Return whether lines of JSON hold labels."""
        return bool(self.labels and self.top)

    @property
    def keys(self) -> list[str] | None:
        """Return the key of each row; None if the inputs have none."""
        if self.table is None or self.table.keys is None:
            return None
        if self.windows is None:
            return list(self.table.keys)
        return [self.table.keys[row] for row, _ in self.windows.origins]

    @property
    def arrays(self) -> dict[str, Array] | None:
        """Return the outputs as plain arrays; None if a row has more than its outputs."""
        if self.keys is not None or self.windows is not None or self.shows_labels:
            return None
        plain = {n: v for n, v in self.outputs.items() if not isinstance(v, list)}
        return plain if len(plain) == len(self.outputs) else None


def lines_of(result: RunResult) -> list[str]:
    """Return a line of JSON per row: the value of the only output, or an object by name."""
    if result.arrays is not None:
        return json_lines(result.arrays)
    lines = []
    for row in range(result.count):
        value: Any = {name: rows[row].tolist() for name, rows in result.outputs.items()}
        about = dict(_origin(result, row))
        if not about and len(value) == 1 and not result.shows_labels:
            (value,) = value.values()
        else:
            value = about | value | _labels(result, row)
        lines.append(json.dumps(finite(value), allow_nan=False))
    return lines


def top_of(given: int | None, attached: Attachments) -> int:
    """Return how many labels to print; raise InputError for `--top` without labels."""
    if given and not attached.labels:
        raise InputError(
            "E-OPTION-NEEDS", "--top: the bundle has no labels; export with --labels FILE"
        )
    return TOP if given is None else given


def _labels(result: RunResult, row: int) -> dict[str, Any]:
    if not result.shows_labels:
        return {}
    return {
        f"{name}_labels": top_labels(np.atleast_1d(result.outputs[name][row]), labels, result.top)
        for name, labels in result.labels.items()
    }


def write_result(place: Path, result: RunResult) -> None:
    """Write the outputs to a file, in the format of its ending."""
    ending = place.suffix.lower()
    if ending != ".jsonl":
        result = replace(result, top=0)
    if result.arrays is not None:
        write_arrays(place, result.arrays)
    elif ending == ".jsonl":
        place.write_text("".join(line + "\n" for line in lines_of(result)), encoding="utf-8")
    elif ending == ".csv":
        _write_table(place, result)
    elif ending == ".npz":
        npz.write_npz(place, _with_lengths(result))
    else:
        raise InputError(
            "E-DATA-ONE-ARRAY",
            f"{place}: {ending} holds one array, and the sequences have different lengths or keys;"
            " use .npz, .csv or .jsonl",
        )


def _origin(result: RunResult, row: int) -> Iterator[tuple[str, Any]]:
    if result.keys is not None:
        yield "id", result.keys[row]
    if result.windows is not None:
        sequence, start = result.windows.origins[row]
        if result.keys is None:
            yield "sequence", sequence
        yield "first_step", start


def _with_lengths(result: RunResult) -> dict[str, Array]:
    """Return the outputs as arrays; shorter sequences end with NaN, or 0 where there is no NaN."""
    done: dict[str, Array] = {}
    for name, value in result.outputs.items():
        if isinstance(value, list):
            longest = max(len(row) for row in value)
            filler = np.nan if value[0].dtype.kind == "f" else 0
            full = np.full((len(value), longest, *value[0].shape[1:]), filler, value[0].dtype)
            for row, filled in zip(value, full, strict=True):
                filled[: len(row)] = row
            done[name] = full
            done[LENGTHS] = np.array([len(row) for row in value])
        else:
            done[name] = value
    if result.keys is not None:
        done[KEYS] = np.array(result.keys)
    if result.windows is not None:
        done[WINDOWS] = np.array(result.windows.origins)
    return done


def _write_table(place: Path, result: RunResult) -> None:
    ((name, rows),) = result.outputs.items()
    width = int(np.prod(np.shape(rows[0])[1:])) if np.ndim(rows[0]) > 1 else int(np.size(rows[0]))
    over_time = np.ndim(rows[0]) > 1
    columns = [name] if width == 1 else [f"{name}_{i}" for i in range(width)]
    leading = [key for key, _ in _origin(result, 0)]
    if over_time:
        leading.append("step")
    with place.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*leading, *columns])
        for row in range(result.count):
            about = [value for _, value in _origin(result, row)]
            steps = np.reshape(rows[row], (-1, width))
            for number, step in enumerate(steps):
                where = [*about, _step_name(result, row, number)] if over_time else about
                writer.writerow([*where, *map(_text, step)])


def _step_name(result: RunResult, row: int, number: int) -> object:
    """Return the time of a step as the table has it, or its number from 0."""
    sequence, start = result.windows.origins[row] if result.windows else (row, 0)
    if result.table is None or result.table.times is None:
        return start + number
    times: Sequence[str] = result.table.times[sequence]
    return times[start + number] if start + number < len(times) else start + number


def _text(value: np.generic) -> str:
    if value.dtype.kind != "f":
        return str(value)
    digits = 17 if value.dtype == np.float64 else 9  # restore the exact value
    return f"{float(value):.{digits}g}"
