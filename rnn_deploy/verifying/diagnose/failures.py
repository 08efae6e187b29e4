"""Which of many failures is worth localising."""

from collections.abc import Callable, Iterable, Iterator

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.verifying.judge.compare import Comparison


class RuntimeFailures:
    """What failed on one runtime: of each check, the first comparison of every case."""

    def __init__(self, read: Callable[[], Iterable[GoldenCase]]) -> None:
        self._read = read
        self._failed: dict[str, dict[str, Comparison]] = {}

    def note(self, failed: Comparison) -> None:
        """Remember a comparison that failed."""
        self._failed.setdefault(failed.check, {}).setdefault(failed.case, failed)

    def worth_localising(self) -> Iterator[tuple[Comparison, GoldenCase, GoldenCase | None]]:
        """Of each check one failure, with its case and that of its single steps.

        A case whose single steps are known tells most; else the first one.
        """
        if not self._failed:
            return
        steps = [case for case in self._read() if case.steps]
        told = {case.name.removesuffix("-steps"): case for case in steps}
        for failed in self._failed.values():
            name = next((name for name in failed if name in told), next(iter(failed)))
            case = next(case for case in self._read() if case.name == name)
            yield failed[name], case, told.get(name)
