"""The changes since the results of an earlier verification, as values and in words."""

from collections.abc import Iterator
from dataclasses import dataclass

CHECK = "baseline"


@dataclass(frozen=True)
class Change:
    """The changes of one output or state on one runtime.

    compared, changed: numbers of results. largest: the largest change of an element, in the
    tensor's own unit; infinite where only one value is NaN or infinite. budget: the budget of that
    result; check, case: its check and case.
    """

    runtime: str
    name: str
    kind: str
    compared: int
    changed: int
    largest: float = 0.0
    budget: float = 0.0
    check: str = ""
    case: str = ""

    def __str__(self) -> str:
        part = f" ({self.largest / self.budget:.2g} of its budget)" if self.budget else ""
        return (
            f"changed: {self.runtime}, {self.kind} '{self.name}': {self.changed} of {self.compared}"
            f" results, by up to {self.largest:.1e}{part}, in {self.check} {self.case}"
        )


@dataclass(frozen=True)
class BaselineComparison:
    """The results of a verification, compared with earlier ones.

    place: the file with the earlier results. changes: of each runtime and tensor, also if nothing
    changed. unmatched: results that the file does not have. gone: runtimes of the file that were
    not verified now. versions: (runtime, version then, version now) where they differ.
    """

    place: str
    changes: tuple[Change, ...]
    unmatched: int = 0
    gone: tuple[str, ...] = ()
    versions: tuple[tuple[str, str, str], ...] = ()

    @property
    def changed(self) -> tuple[Change, ...]:
        """The runtimes and tensors with a change."""
        return tuple(change for change in self.changes if change.changed)

    @property
    def lines(self) -> tuple[str, ...]:
        """The comparison in words."""
        return tuple(self._lines())

    def _lines(self) -> Iterator[str]:
        compared = sum(change.compared for change in self.changes)
        for runtime, then, now in self.versions:
            yield f"version: {runtime} {then} in {self.place}, {now} now"
        yield from map(str, self.changed)
        if not self.changed:
            yield f"no change: {compared} results are those of {self.place}"
        if self.unmatched:
            yield f"not compared: {self.unmatched} results are not in {self.place}"
        for runtime in self.gone:
            yield f"not compared: {runtime} is in {self.place}, but was not verified now"
