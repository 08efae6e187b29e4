"""Make sequences fit a fixed number of steps: pad short ones, cut windows from long ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.inference.fitting import Fitted
from rnn_deploy.spec import Array, EntryPoint, TensorSpec

Side = Literal["pre", "post"]
SIDES = ("pre", "post")  # the words of keras.utils.pad_sequences


@dataclass(frozen=True)
class Windows:
    """Windows of sequences as rows of one batch.

    origins: for each window, the index of its sequence and its first step. uncovered: the number of
    steps at the ends of sequences that are in no window.
    """

    feeds: dict[str, Fitted]
    origins: tuple[tuple[int, int], ...]
    uncovered: int


def has_time(tensor: TensorSpec) -> bool:
    """Return whether axis 1 of an input is time."""
    shape = tensor.shape
    return len(shape) > 2 or (
        len(shape) == 2 and (isinstance(shape[1], str) or tensor.below is not None)
    )


def padded(
    entry: EntryPoint, feeds: Mapping[str, Fitted], side: Side
) -> tuple[dict[str, Fitted], list[str]]:
    """Pad sequences to the model's fixed number of steps; return the feeds, and notes.

    If the model leaves the number open, pad to the longest. The padding value is the one that the
    model masks, else 0. Raises InputError for a sequence that is too long, and for an open length
    if the model masks nothing.
    """
    done, notes = dict(feeds), []
    for tensor in entry.inputs:
        if tensor.name not in feeds or not has_time(tensor):
            continue
        rows = [np.asarray(row) for row in feeds[tensor.name]]
        longest = max((len(row) for row in rows if row.ndim), default=0)
        fixed = tensor.shape[1]
        if isinstance(fixed, str) and tensor.padding is None:
            raise InputError(
                "E-INPUT-PAD",
                f"--pad: input '{tensor.name}' takes any number of steps and the model masks no"
                " padding; remove --pad: sequences of each length run in their own call",
            )
        size = longest if isinstance(fixed, str) else fixed
        if longest > size:
            raise InputError(
                "E-INPUT-SHAPE",
                f"--pad: a sequence of input '{tensor.name}' has {longest} steps, and the model"
                f" takes {size}; cut windows from it: --window {size} --step {size}",
            )
        value = tensor.padding or 0.0
        done[tensor.name] = np.stack([_padded(row, size, side, value) for row in rows])
        count = sum(len(row) < size for row in rows)
        if count:
            masked = (
                "which the model masks"
                if tensor.padding is not None
                else "which the model does not mask"
            )
            where = "before" if side == "pre" else "after"
            notes.append(
                f"padded {count} of {len(rows)} sequences of input '{tensor.name}' to {size} steps"
                f" with {value:g} {where} them, {masked}"
            )
    return done, notes


def windows(entry: EntryPoint, feeds: Mapping[str, Fitted], size: int, step: int) -> Windows:
    """Cut every sequence into windows of `size` steps, one every `step` steps.

    Raises InputError if a sequence is shorter than a window, or the model takes another number.
    """
    timed = [t for t in entry.inputs if has_time(t) and t.name in feeds]
    if not timed:
        raise InputError("E-INPUT-WINDOW", f"--window {size}: no input of the model has steps")
    for tensor in timed:
        if isinstance(tensor.shape[1], int) and tensor.shape[1] != size:
            raise InputError(
                "E-INPUT-WINDOW",
                f"--window {size}: the model takes {tensor.shape[1]} steps in input"
                f" '{tensor.name}'; use --window {tensor.shape[1]}",
            )
    lengths = [len(row) for row in feeds[timed[0].name]]
    for tensor in timed[1:]:
        if [len(row) for row in feeds[tensor.name]] != lengths:
            raise InputError(
                "E-INPUT-WINDOW",
                f"--window {size}: inputs '{timed[0].name}' and '{tensor.name}' have different"
                " numbers of steps",
            )
    if min(lengths, default=0) < size:
        raise InputError(
            "E-INPUT-WINDOW",
            f"--window {size}: a sequence has {min(lengths, default=0)} steps, fewer than a window;"
            " pad short sequences with --pad in place of --window",
        )
    origins = [(r, s) for r, n in enumerate(lengths) for s in range(0, n - size + 1, step)]
    names = {tensor.name for tensor in timed}
    cut: dict[str, Fitted] = {
        name: _rows(value, origins, size if name in names else None)
        for name, value in feeds.items()
    }
    ends = [max(s for row, s in origins if row == r) + size for r in range(len(lengths))]
    uncovered = sum(n - end for n, end in zip(lengths, ends, strict=True))
    return Windows(cut, tuple(origins), uncovered)


def _rows(value: Fitted, origins: Sequence[tuple[int, int]], size: int | None) -> Array:
    if size is None:
        return np.stack([value[row] for row, _ in origins])
    return np.stack([value[row][start : start + size] for row, start in origins])


def _padded(row: Array, size: int, side: Side, value: float) -> Array:
    missing = size - len(row)
    widths = [(missing, 0) if side == "pre" else (0, missing), *[(0, 0)] * (row.ndim - 1)]
    return np.pad(row, widths, constant_values=np.asarray(value, row.dtype))
