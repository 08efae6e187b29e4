"""Find the wrong files of a bundle, from comparisons of values that a single file computed.

A check that ended with an error blames the file that ran last, unless one that ran before is wrong.
Where files failed only together, those whose weights changed are the wrong ones.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rnn_deploy.verifying.judge.checks import HAND_OVER
from rnn_deploy.verifying.judge.compare import Comparison
from rnn_deploy.verifying.judge.weights import CHECK as WEIGHTS


@dataclass(frozen=True)
class FileVerdicts:
    """The model files that one runtime ran: those with wrong results, and the others.

    certain: False if some of the wrong files only failed together, so that one may be right.
    """

    runtime: str
    wrong: tuple[str, ...]
    right: tuple[str, ...]
    certain: bool = True

    def __str__(self) -> str:
        wrong = (" and " if self.certain else " or ").join(self.wrong)
        return f"wrong on {self.runtime}: {wrong}" + (
            f"; right: {' and '.join(self.right)}" if self.right else ""
        )


class Failure(Protocol):
    """A check that ended with an error."""

    @property
    def runtime(self) -> str: ...
    @property
    def check(self) -> str: ...
    @property
    def files(self) -> tuple[str, ...]: ...


def file_verdicts(
    comparisons: Iterable[Comparison], failures: Iterable[Failure] = ()
) -> tuple[FileVerdicts, ...]:
    """Return the verdicts of each runtime on which something failed and whose files are known.

    The check hand-over is left out, since two runtimes computed its values. If a comparison with
    true values failed, those with the runtime's own values are left out: the latter may be wrong.
    """
    by_runtime: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        if comparison.files and comparison.check != HAND_OVER:
            by_runtime.setdefault(comparison.runtime, []).append(comparison)
    errors: dict[str, list[tuple[str, ...]]] = {}
    changed: set[str] = set()
    for failure in failures:
        if failure.check == WEIGHTS:
            changed.update(failure.files)
        elif failure.files and failure.check != HAND_OVER:
            errors.setdefault(failure.runtime, []).append(failure.files)
    return tuple(
        _verdicts(runtime, by_runtime.get(runtime, []), errors.get(runtime, []), changed)
        for runtime in by_runtime | errors
        if runtime in errors or not all(c.passed for c in by_runtime[runtime])
    )


def most_informative(compared: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons with true values if one of them failed, otherwise all."""
    true = [comparison for comparison in compared if not comparison.against_itself]
    return list(compared) if all(comparison.passed for comparison in true) else true


def _verdicts(
    runtime: str,
    comparisons: list[Comparison],
    errors: list[tuple[str, ...]],
    changed: set[str],
) -> FileVerdicts:
    compared = most_informative(comparisons)
    failed = [comparison.files for comparison in compared if not comparison.passed]
    single = {files[0] for files in (*failed, *errors) if len(files) == 1}
    for files in failed:
        if not single.intersection(files):
            single |= changed.intersection(files)
    single |= {files[-1] for files in errors if not single.intersection(files)}
    together = [files for files in failed if not single.intersection(files)]
    wrong = single.union(*together)
    ran = [*(comparison.files for comparison in compared), *errors]
    every = dict.fromkeys(file for files in ran for file in files)
    return FileVerdicts(
        runtime,
        tuple(file for file in every if file in wrong),
        tuple(file for file in every if file not in wrong),
        certain=not together,
    )
