"""Which files of a bundle are wrong, as the comparisons tell that were run by one alone."""

from collections.abc import Iterable
from dataclasses import dataclass

from rnn_deploy.verifying.judge.checks import HAND_OVER
from rnn_deploy.verifying.judge.compare import Comparison


@dataclass(frozen=True)
class FileVerdicts:
    """What one runtime ran. wrong: files that gave something wrong. right: the others.

    told: whether each of the wrong ones was wrong alone; else one of them may be right.
    """

    runtime: str
    wrong: tuple[str, ...]
    right: tuple[str, ...]
    told: bool = True

    def __str__(self) -> str:
        wrong = (" and " if self.told else " or ").join(self.wrong)
        return f"wrong on {self.runtime}: {wrong}" + (
            f"; right: {' and '.join(self.right)}" if self.right else ""
        )


def blames(comparisons: Iterable[Comparison]) -> tuple[FileVerdicts, ...]:
    """For each runtime on which something failed and that tells its files, those to look at.

    What was handed over is run by two runtimes, and says nothing of either alone.
    """
    ran: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        if comparison.files and comparison.check != HAND_OVER:
            ran.setdefault(comparison.runtime, []).append(comparison)
    return tuple(
        _blame(runtime, found)
        for runtime, found in ran.items()
        if not all(comparison.passed for comparison in found)
    )


def _blame(runtime: str, found: list[Comparison]) -> FileVerdicts:
    failed = [comparison.files for comparison in found if not comparison.passed]
    alone = {files[0] for files in failed if len(files) == 1}
    together = [files for files in failed if not alone.intersection(files)]
    wrong = alone.union(*together)
    every = dict.fromkeys(file for comparison in found for file in comparison.files)
    return FileVerdicts(
        runtime,
        tuple(file for file in every if file in wrong),
        tuple(file for file in every if file not in wrong),
        told=not together,
    )
