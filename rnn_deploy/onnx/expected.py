"""What shapes an entry point is expected to be called with: they decide what is fastest.

Where the model fixes batch or time that is what is expected. Else the user's `--expect`, or what
is written here: `sequence` is called with one sequence as well as with batches of them, `stream`
with one step of one sequence; `encode` and `decode` likewise.
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
    """Return the shapes expected; raise InputError for one that the entry point does not take.

    There are none for `step`, whose form is the same for every shape.
    """
    if entry.name == STEP:
        return ()
    return shapes_for(entry, expected.get(entry.name, ()), USUAL[entry.name], EXPECT)
