"""Where two runtimes part, as a value and in words."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class ElementPair:
    """One element, as it was found and as it must be."""

    index: tuple[int, ...]
    found: float
    expected: float


@dataclass(frozen=True)
class Finding:
    """The first place where a runtime leaves the truth, in one failing check.

    tensor: the first output or state that differs, in the order of the layers. layer, role: whose
    state it is; empty where every state is right, or none can be seen. step, row: of the case,
    counted from 0; step None where it cannot be told. beside: elements of that row, the one that
    differs most first. batch, steps: the smallest input that still fails, which starts at step
    `start`. states_right: every state was compared there and is right. explained: what fault
    would give just these values, where one was recognised. by_layer: the first layer whose output
    differs, said once for each entry point, where the original model is at hand. files: what the
    runtime runs for the smallest input.
    """

    runtime: str
    check: str
    case: str
    tensor: str
    layer: str
    role: str
    step: int | None
    row: int | None
    beside: tuple[ElementPair, ...]
    batch: int
    steps: int
    start: int = 0
    states_right: bool = False
    detail: str = ""
    explained: str = ""
    by_layer: str = ""
    files: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """In words, a line each."""
        said = (self._where, self._values, self._smallest, self.by_layer, self.explained)
        return tuple(filter(None, said))

    @property
    def _where(self) -> str:
        of = f"state {self.role} of layer '{self.layer}'" if self.layer else f"'{self.tensor}'"
        if self.states_right:
            of += ", every state being right"
        places = [
            f"step {self.step}" if self.step is not None else "",
            f"row {self.row}" if self.row is not None else "",
            f"unit {', '.join(map(str, self.beside[0].index))}" if self.beside else "",
        ]
        place = ", ".join(filter(None, places))
        how = f" ({self.detail})" if self.detail else ""
        return (
            f"{self.runtime}, {self.check}, case {self.case}{how}: the first difference is in {of}"
            + (f" at {place}" if place else "")
            + (f", run by {' and '.join(self.files)}" if self.files else "")
        )

    @property
    def _values(self) -> str:
        said = (f"{b.found:.7g} for {b.expected:.7g}" for b in self.beside)
        return f"found {'; '.join(said)}" if self.beside else ""

    @property
    def _smallest(self) -> str:
        if not self.batch:
            return ""
        rows = "1 row" if self.batch == 1 else f"{self.batch} rows"
        steps = "1 step" if self.steps == 1 else f"{self.steps} steps"
        since = f", from the reference's state before step {self.start}" if self.start else ""
        return f"smallest input that still fails: {rows}" + (
            f" of {steps}{since}" if self.steps else ""
        )


def told_once(findings: Iterable[Finding]) -> list[tuple[str, ...]]:
    """Findings in lines; several checks that found one place on a runtime are told together."""
    alike: dict[object, list[Finding]] = {}
    for f in findings:
        place = (f.runtime, f.layer, f.tensor, f.role, f.step, f.row, f.explained)
        alike.setdefault(place, []).append(f)
    told = []
    for first, *more in alike.values():
        others = ", ".join(f.check for f in more)
        told.append((*first.lines, *([f"the same in: {others}"] if others else [])))
    return told
