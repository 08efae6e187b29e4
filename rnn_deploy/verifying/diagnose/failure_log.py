"""Keep the failures of one runtime, and choose which of them to localise."""

from collections.abc import Callable, Iterable, Iterator

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.verifying.judge.compare import Comparison


class FailureLog:
    """The failures of one runtime: for each check, the first failed comparison of every case."""

    def __init__(self, read: Callable[[], Iterable[GoldenCase]]) -> None:
        self._read = read
        self._failed: dict[str, dict[str, Comparison]] = {}

    def note(self, failed: Comparison) -> None:
        """Remember a comparison that failed."""
        self._failed.setdefault(failed.check, {}).setdefault(failed.case, failed)

    def to_localise(self) -> Iterator[tuple[Comparison, GoldenCase, GoldenCase | None]]:
        """Yield one failure of each check, with its case and the case of its single steps.

        A case whose single steps are known is preferred, since its states are known at every step.
        """
        if not self._failed:
            return
        single_steps = {c.name.removesuffix("-steps"): c for c in self._read() if c.steps}
        for failed in self._most_informative():
            name = next((name for name in failed if name in single_steps), next(iter(failed)))
            case = next(case for case in self._read() if case.name == name)
            yield failed[name], case, single_steps.get(name)

    def _most_informative(self) -> list[dict[str, Comparison]]:
        """Return the failures of each check; if some are against true values, only those."""
        every = [c for failed in self._failed.values() for c in failed.values()]
        if all(c.against_itself for c in every):
            return list(self._failed.values())
        true = [
            {case: c for case, c in failed.items() if not c.against_itself}
            for failed in self._failed.values()
        ]
        return [failed for failed in true if failed]
