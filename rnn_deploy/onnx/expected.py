"""What shapes an entry point is expected to be called with: they decide what is fastest.

Where the model fixes batch or time that is what is expected. Else the user's `--expect`, or what
is written here: `sequence` is called with one sequence as well as with batches of them, `stream`
with one step of one sequence.
"""

from collections.abc import Collection, Mapping, Sequence

from rnn_deploy.errors import InputError
from rnn_deploy.spec import SEQUENCE, STEP, STREAM, EntryPoint
from rnn_deploy.spec.shapes import Shape, shape_from, shapes_for

USUAL: dict[str, tuple[Shape, ...]] = {
    SEQUENCE: (Shape(1, 100), Shape(32, 100)),
    STREAM: (Shape(1, 1),),
}
OPTION = "--expect"
Asked = Mapping[str, tuple[Shape, ...]]


def asked_from(words: Sequence[str], option: str = OPTION) -> Asked:
    """[ENTRY=]BATCHxTIME by entry point, `sequence` where none is named; InputError otherwise."""
    asked: dict[str, tuple[Shape, ...]] = {}
    for word in words:
        entry, equals, text = word.rpartition("=")
        name = entry if equals else SEQUENCE
        if name not in USUAL:
            raise InputError(f"{option} {word}: no entry point '{name}', only {', '.join(USUAL)}")
        asked[name] = (*asked.get(name, ()), shape_from(text, option))
    return asked


def check_entries(asked: Asked, there: Collection[str]) -> None:
    """InputError when shapes are expected of an entry point that the model does not get."""
    for name, shapes in asked.items():
        if name not in there:
            raise InputError(f"{OPTION} {name}={shapes[0]}: this export has no '{name}'")


def expected_of(entry: EntryPoint, asked: Asked) -> tuple[Shape, ...]:
    """The shapes expected; InputError for one that the entry point does not take.

    None of `step`, whose form is the same at all of them.
    """
    if entry.name == STEP:
        return ()
    return shapes_for(entry, asked.get(entry.name, ()), USUAL[entry.name], OPTION)
