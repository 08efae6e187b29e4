"""A finding: the first wrong place of a runtime, as a value and in words."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class ElementPair:
    """The value of one element and its expected value."""

    index: tuple[int, ...]
    found: float
    expected: float


@dataclass(frozen=True)
class Finding:
    """The first place where the values of a runtime are wrong, in one failed check.

    tensor: the first output or state that differs, in the order of the layers. layer, role: the
    layer and role (h or c) of the state; empty if every state is right, or none is known. step,
    row: the place in the case, from 0; step is None if it is not known. elements: elements of that
    row, the one with the largest error first. batch, steps: the size of the smallest input that
    still fails, which starts at step `start`. states_right: every state was compared there and is
    right. fault: the fault that explains these values, empty if none is recognised. by_layer: the
    first layer whose output differs, if the Keras model is available; once for each entry point.
    files: the model files that the runtime runs for the smallest input.
    """

    runtime: str
    check: str
    case: str
    tensor: str
    layer: str
    role: str
    step: int | None
    row: int | None
    elements: tuple[ElementPair, ...]
    batch: int
    steps: int
    start: int = 0
    states_right: bool = False
    detail: str = ""
    fault: str = ""
    by_layer: str = ""
    files: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """The finding in words, line by line."""
        lines = (self._place, self._values, self._smallest, self.by_layer, self.fault)
        return tuple(filter(None, lines))

    @property
    def _place(self) -> str:
        tensor = f"state {self.role} of layer '{self.layer}'" if self.layer else f"'{self.tensor}'"
        if self.states_right:
            tensor += " (every state is right)"
        places = [
            f"step {self.step}" if self.step is not None else "",
            f"row {self.row}" if self.row is not None else "",
            f"unit {', '.join(map(str, self.elements[0].index))}" if self.elements else "",
        ]
        place = ", ".join(filter(None, places))
        how = f" ({self.detail})" if self.detail else ""
        return (
            f"{self.runtime}, {self.check}, case {self.case}{how}: the first difference is in"
            f" {tensor}"
            + (f" at {place}" if place else "")
            + (f", run by {' and '.join(self.files)}" if self.files else "")
        )

    @property
    def _values(self) -> str:
        pairs = (f"{e.found:.7g} instead of {e.expected:.7g}" for e in self.elements)
        return f"found {'; '.join(pairs)}" if self.elements else ""

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


def merged_lines(findings: Iterable[Finding]) -> list[tuple[str, ...]]:
    """Return the lines of findings; checks with the same finding on a runtime share one entry."""
    alike: dict[object, list[Finding]] = {}
    for f in findings:
        place = (f.runtime, f.layer, f.tensor, f.role, f.step, f.row, f.fault)
        alike.setdefault(place, []).append(f)
    merged = []
    for first, *more in alike.values():
        others = ", ".join(f.check for f in more)
        merged.append((*first.lines, *([f"the same in: {others}"] if others else [])))
    return merged
