"""The coverage of a verification: the sizes that were run, and the runtimes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rnn_deploy.verifying.judge.checks import LONG

# The coverage that is missing without these checks.
COVERS = {
    "sequence": "whole sequences",
    "states": "states",
    "chunked": "streams in chunks",
    "step": "streams step by step",
    "teacher-forced": "every step alone",
    "hand-over": "states of another runtime",
    "reset": "repeated calls",
    "batch": "rows alone",
    "masks": "masked steps",
    "extremes": "extreme inputs",
    "long": "very long sequences",
    "running-bound": "every state after every step",
    "sizes": "other numbers of rows and steps",
    "encode-decode": "encoder and decoder alone",
}


@dataclass(frozen=True)
class RuntimeCoverage:
    """The largest calls of one runtime, over all entry points.

    rows, steps: the most rows and the most steps of a call, without those of the check `long`.
    longest: the steps of the longest sequence of that check, or 0 without one.
    """

    runtime: str
    rows: int
    steps: int
    longest: int = 0


def coverage_of(
    runtime: str, shapes: Iterable[tuple[str, int, int]]
) -> tuple[RuntimeCoverage, ...]:
    """Return the coverage of a runtime; empty if nothing was run. shapes: (check, rows, steps)."""
    shapes = list(shapes)
    usual = [(rows, steps) for check, rows, steps in shapes if check != LONG]
    longest = max((steps for check, _, steps in shapes if check == LONG), default=0)
    if not shapes:
        return ()
    rows = max((rows for rows, _ in usual), default=1)
    steps = max((steps for _, steps in usual), default=0)
    return (RuntimeCoverage(runtime, rows, steps, longest),)


def coverage_line(
    coverage: Sequence[RuntimeCoverage], runtimes: Sequence[str], possible: Sequence[str]
) -> str:
    """Return in one line what was tested; the sizes are those that every runtime was run with."""
    every = list(dict.fromkeys((*possible, *runtimes)))
    missing = [name for name in every if name not in runtimes]
    if not coverage:
        return f"tested: nothing; possible runtimes: {', '.join(every)}"
    rows, steps = min(c.rows for c in coverage), min(c.steps for c in coverage)
    longest = min(c.longest for c in coverage)
    sizes = [
        _counted(rows, "row"),
        *([_counted(steps, "step")] if steps else []),
    ]
    text = ", ".join(f"up to {size}" for size in sizes)
    if longest > steps:
        text += f", one sequence of {longest:,}"
    there = f"{len(runtimes)} of {len(every)} possible runtimes"
    without = f", not {', '.join(missing)}" if missing else ""
    return f"tested: {text}; {', '.join(runtimes)} ({there}{without})"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
