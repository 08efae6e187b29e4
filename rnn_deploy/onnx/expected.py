"""The shapes with which an entry point is expected to be called; they decide what is fastest.

If the model fixes batch or time, these are expected. Otherwise the user's `--expect` applies, or
the defaults of this module: `sequence` is called with one sequence and with batches, `stream` with
one step of one sequence; `encode` and `decode` likewise.
"""

from collections.abc import Collection, Mapping, Sequence

from rnn_deploy.errors import InputError
from rnn_deploy.spec import DECODE, ENCODE, SEQUENCE, STEP, STREAM, EntryPoint
from rnn_deploy.spec.shapes import Shape, shapes_by_entry, shapes_for

USUAL: dict[str, tuple[Shape, ...]] = {
    SEQUENCE: (Shape(1, 100), Shape(32, 100)),
    STREAM: (Shape(1, 1),),
    ENCODE: (Shape(1, 100), Shape(32, 100)),
    DECODE: (Shape(1, 1),),
}
EXPECT = "--expect"
ExpectedShapes = Mapping[str, tuple[Shape, ...]]


def expected_shapes(words: Sequence[str]) -> ExpectedShapes:
    """Return the shapes of --expect by entry point; raise InputError for another form."""
    return shapes_by_entry(words, tuple(USUAL), EXPECT)


def check_entries(expected: ExpectedShapes, entries: Collection[str]) -> None:
    """Raise InputError for shapes of an entry point that is not in `entries`."""
    for name, shapes in expected.items():
        if name not in entries:
            raise InputError(
                "E-OPTION-SHAPE-ENTRY",
                f"{EXPECT} {name}={shapes[0]}: this export has no entry point '{name}'; remove it",
            )


def expected_of(entry: EntryPoint, expected: ExpectedShapes) -> tuple[Shape, ...]:
    """Return the expected shapes; raise InputError for one that the entry point does not accept.

    `step` has none, because its form is the same for every shape.
    """
    if entry.name == STEP:
        return ()
    return shapes_for(entry, expected.get(entry.name, ()), USUAL[entry.name], EXPECT)
