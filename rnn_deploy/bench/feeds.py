"""Shapes to measure at, and made-up inputs of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.spec import Array, EntryPoint, TensorSpec

DEFAULT = ((1, 1), (1, 32), (32, 32))


@dataclass(frozen=True, order=True)
class Shape:
    """So many sequences of so many steps each."""

    batch: int
    time: int

    def __str__(self) -> str:
        return f"{self.batch}x{self.time}"


def shape_from(text: str, option: str = "--shape") -> Shape:
    """A shape from "BATCHxTIME"; InputError for anything else."""
    batch, _, time = text.partition("x")
    if not (text.isascii() and batch.isdigit() and time.isdigit() and int(batch) and int(time)):
        raise InputError(f"{option} {text}: expected BATCHxTIME, for instance 32x100")
    return Shape(int(batch), int(time))


def shapes_for(entry: EntryPoint, asked: Sequence[Shape]) -> tuple[Shape, ...]:
    """The shapes asked, or the usual ones that the entry point takes.

    InputError when one that is asked has another batch or length than the entry point fixes.
    """
    if not asked:
        usual = [Shape(*(fixed or d for fixed, d in zip(_fixed(entry), shape, strict=True)))
                 for shape in DEFAULT]  # fmt: skip
        return tuple(dict.fromkeys(usual))
    for shape in asked:
        for what, fixed, size in zip(
            ("batch", "steps"), _fixed(entry), (shape.batch, shape.time), strict=True
        ):
            if fixed not in (None, size):
                raise InputError(f"--shape {shape}: the model takes {what} {fixed}, not {size}")
    return tuple(dict.fromkeys(asked))


def feeds_of(entry: EntryPoint, shape: Shape) -> dict[str, Array]:
    """Random inputs by name, without states."""
    rng = np.random.default_rng(0)
    return {tensor.name: _values(rng, tensor, entry, shape) for tensor in entry.inputs}


def _values(rng: np.random.Generator, tensor: TensorSpec, entry: EntryPoint, shape: Shape) -> Array:
    times = set(entry.time_symbols)
    sizes = [
        dim if isinstance(dim, int) else shape.time if dim in times else shape.batch
        for dim in tensor.shape
    ]
    whole = np.dtype(tensor.dtype).kind != "f"
    value = rng.integers(0, tensor.below or 2, sizes) if whole else rng.standard_normal(sizes)
    return value.astype(tensor.dtype)


def _fixed(entry: EntryPoint) -> tuple[int | None, int | None]:
    """The batch and the number of steps where the first input fixes them.

    The number of steps is fixed only where no input leaves it open.
    """
    first = entry.inputs[0].shape
    batch = first[0] if first and isinstance(first[0], int) else None
    time = first[1] if len(first) > 1 and isinstance(first[1], int) else None
    return batch, None if entry.time_symbols else time
