"""Find the wrong files of a bundle, from comparisons of values that a single file computed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rnn_deploy.verifying.judge.checks import HAND_OVER
from rnn_deploy.verifying.judge.compare import Comparison


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


def file_verdicts(comparisons: Iterable[Comparison]) -> tuple[FileVerdicts, ...]:
    """Return the verdicts of each runtime on which something failed and whose files are known.

    The check hand-over is left out, since two runtimes computed its values. If a comparison with
    true values failed, those with the runtime's own values are left out: the latter may be wrong.
    """
    by_runtime: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        if comparison.files and comparison.check != HAND_OVER:
            by_runtime.setdefault(comparison.runtime, []).append(comparison)
    return tuple(
        _verdicts(runtime, most_informative(compared))
        for runtime, compared in by_runtime.items()
        if not all(comparison.passed for comparison in compared)
    )


def most_informative(compared: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons with true values if one of them failed, otherwise all."""
    true = [comparison for comparison in compared if not comparison.against_itself]
    return list(compared) if all(comparison.passed for comparison in true) else true


def _verdicts(runtime: str, compared: list[Comparison]) -> FileVerdicts:
    failed = [comparison.files for comparison in compared if not comparison.passed]
    single = {files[0] for files in failed if len(files) == 1}
    together = [files for files in failed if not single.intersection(files)]
    wrong = single.union(*together)
    every = dict.fromkeys(file for comparison in compared for file in comparison.files)
    return FileVerdicts(
        runtime,
        tuple(file for file in every if file in wrong),
        tuple(file for file in every if file not in wrong),
        certain=not together,
    )
