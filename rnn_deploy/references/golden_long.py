"""The golden case with very many steps, and the cases that are left out.

The values of a model may grow without limit. After an overflow no float32 value has a meaning, so
the case ends before one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.bundle.seeded_input import SeededInput
from rnn_deploy.errors import InputError
from rnn_deploy.references.golden import References, fitting, sizes_of
from rnn_deploy.spec import Array, EntryPoint, chunks

LONG = "long"
PROBES = (0, 1, 3, 9, 31, 99, 315, 999, 3161)  # and the last step
FEWEST_LONG = 20  # steps; the other golden cases have up to 16
LARGEST = 1e30  # float32 overflows at 3e38, and sums within a layer exceed its output


@dataclass(frozen=True)
class LeftOut:
    """A golden case whose result is undefined, and why."""

    case: str
    reason: str

    def __str__(self) -> str:
        return f"golden case '{self.case}' is not compared, because {self.reason}"


def long_case(
    references: References,
    sequence: EntryPoint,
    stream: EntryPoint | None,
    seed: int,
    wanted: int,
) -> Iterator[GoldenCase | LeftOut]:
    """Return a long sequence, cut before the model's values overflow."""
    steps = wanted
    while steps >= FEWEST_LONG:
        cases = list(_of_length(references, sequence, stream, seed, steps))
        if all(map(_in_range, cases)):
            yield from cases
            break
        steps //= 2
    if steps < wanted:
        most = f"; the longest case has {steps} steps" if steps >= FEWEST_LONG else ""
        yield LeftOut(f"n1t{wanted}", f"the model's values grow without bound{most}")


def _in_range(case: GoldenCase) -> bool:
    """Return whether every value of reference and oracle is far below the overflow of float32."""
    values = [*case.reference.values(), *case.oracle.values()]
    # A comparison with NaN is false, as it must be here.
    return all(bool((np.abs(value) < LARGEST).all()) for value in values if value.dtype.kind == "f")


def _of_length(
    references: References,
    sequence: EntryPoint,
    stream: EntryPoint | None,
    seed: int,
    steps: int,
) -> Iterator[GoldenCase]:
    entry = stream or sequence
    sizes = sizes_of(entry, 1, steps)
    drawn = {
        tensor.name: SeededInput(
            (seed + 1) * 100 + index,
            tuple(dim if isinstance(dim, int) else sizes[dim] for dim in tensor.shape),
            tensor.dtype,
            tensor.below,
        )
        for index, tensor in enumerate(entry.inputs)
    }
    feeds = {name: inputs.values() for name, inputs in drawn.items()}
    try:
        entries = fitting(sequence, stream, feeds)
        case = case_for(references, f"n1t{steps}", entries, feeds, LONG)
    except InputError:
        return
    probes = (*(step for step in PROBES if step < steps - 1), steps - 1)
    yield replace(
        case,
        drawn=drawn,
        probes=probes,
        reference=chunks.at_steps(entry, case.reference, probes),
        oracle=chunks.at_steps(entry, case.oracle, probes),
    )


def case_for(
    references: References, name: str, entries: tuple[str, ...], feeds: dict[str, Array], check: str
) -> GoldenCase:
    """Return the case of a check, with the results of the references."""
    oracle = references.oracle.run(feeds) if references.oracle else {}
    return GoldenCase(name, entries, (), feeds, references.reference.run(feeds), oracle, check)
