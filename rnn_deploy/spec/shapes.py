"""Shapes as batch x time, to measure, or as the expected shapes of a model's calls."""

from collections.abc import Sequence
from dataclasses import dataclass

from rnn_deploy.errors import InputError
from rnn_deploy.spec import SEQUENCE, EntryPoint


@dataclass(frozen=True, order=True)
class Shape:
    """A batch of sequences with `time` steps each."""

    batch: int
    time: int

    def __str__(self) -> str:
        return f"{self.batch}x{self.time}"


def shape_from(text: str, option: str = "--shape") -> Shape:
    """Return the shape that "BATCHxTIME" names; raise InputError for anything else."""
    batch, _, time = text.partition("x")
    if not (text.isascii() and batch.isdigit() and time.isdigit() and int(batch) and int(time)):
        raise InputError(
            "E-OPTION-SHAPE", f"{option} {text}: expected BATCHxTIME, for instance 32x100"
        )
    return Shape(int(batch), int(time))


def shapes_by_entry(
    words: Sequence[str], entries: Sequence[str], option: str = "--shape"
) -> dict[str, tuple[Shape, ...]]:
    """Return shapes by entry point from [ENTRY=]BATCHxTIME; `sequence` if none is named.

    entries: the names allowed. Raise InputError for another name or another form.
    """
    shapes: dict[str, tuple[Shape, ...]] = {}
    for word in words:
        entry, equals, text = word.rpartition("=")
        name = entry if equals else SEQUENCE
        if name not in entries:
            raise InputError(
                "E-OPTION-SHAPE-ENTRY",
                f"{option} {word}: unknown entry point '{name}'; choose from: {', '.join(entries)}",
            )
        shapes[name] = (*shapes.get(name, ()), shape_from(text, option))
    return shapes


def shapes_for(
    entry: EntryPoint, requested: Sequence[Shape], usual: Sequence[Shape], option: str = "--shape"
) -> tuple[Shape, ...]:
    """Return the requested shapes, or the usual ones with the batch and length that `entry` fixes.

    option: the name of the request in messages. Raises InputError if a requested shape has another
    batch or length than `entry` fixes.
    """
    fixed = _fixed(entry)
    if not requested:
        fitted = (Shape(fixed[0] or s.batch, fixed[1] or s.time) for s in usual)
        return tuple(dict.fromkeys(fitted))
    for shape in requested:
        sizes = (("batch", shape.batch, fixed[0]), ("number of steps", shape.time, fixed[1]))
        for what, size, only in sizes:
            if only not in (None, size):
                raise InputError(
                    "E-OPTION-SHAPE-FIXED",
                    f"{option} {shape}: the model has a fixed {what} of {only}, got {size}",
                )
    return tuple(dict.fromkeys(requested))


def _fixed(entry: EntryPoint) -> tuple[int | None, int | None]:
    """Return the batch and the number of steps that the first input fixes, else None.

    The number of steps is fixed only if no input leaves it open.
    """
    first = entry.inputs[0].shape if entry.inputs else ()
    batch = first[0] if first and isinstance(first[0], int) else None
    time = first[1] if len(first) > 1 and isinstance(first[1], int) else None
    return batch, None if entry.time_symbols else time
