"""Convert the values of a file to the dtypes of the model's inputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.inference.fitting import Fitted
from rnn_deploy.inference.lengths import has_time
from rnn_deploy.inference.preprocessing import TEXT
from rnn_deploy.inference.tables import SequenceTable
from rnn_deploy.spec import Array, EntryPoint, TensorSpec


@dataclass(frozen=True)
class ReadInputs:
    """Inputs of a file: arrays, lists of arrays, or lists of texts.

    table: the keys and times of a .csv file. summary_line: a sentence about the file.
    """

    feeds: Mapping[str, Any]
    table: SequenceTable | None = None
    summary_line: str | None = None


def stacked(samples: list[Any], tensor: TensorSpec, place: Path) -> Fitted:
    if tensor.dtype == TEXT:
        return samples  # preprocessing converts text; lists of token ids stay as they are
    try:
        shapes = {np.shape(sample) for sample in samples}
    except ValueError as error:  # NumPy's message does not name the file
        raise InputError(
            "E-DATA-RAGGED",
            f"{place}: the steps of '{tensor.name}' have different widths; expected the same number"
            " of values in each",
        ) from error
    if len(shapes) == 1:
        return converted(np.array(samples), tensor, place)
    if len({shape[1:] for shape in shapes}) > 1 or () in shapes or not has_time(tensor):
        raise InputError(
            "E-DATA-RAGGED",
            f"{place}: lines of the shapes {sorted(shapes)} cannot be one input; expected sequences"
            " that differ only in their number of steps",
        )
    return [converted(np.array(sample), tensor, place) for sample in samples]


def converted(value: Array, tensor: TensorSpec, place: Path) -> Array:
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


def only_input(entry: EntryPoint, place: Path) -> TensorSpec:
    if len(entry.inputs) != 1:
        names = ", ".join(tensor.name for tensor in entry.inputs)
        raise InputError(
            "E-DATA-ONE-ARRAY",
            f"{place}: holds one array, the model has the inputs {names}; use .npz",
        )
    return entry.inputs[0]
