"""Parts of a golden case: fewer rows, fewer steps, and what is true of them.

A part is rows of the batch and steps `start` to `stop` of time. What is true of it comes from an
oracle where one is at hand, else from the golden vectors: of a model whose chunks give what the
whole gives, an output over time is known for any part, and a state where the golden case for single
steps holds it (its states before every step).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.errors import RnnDeployError
from rnn_deploy.spec import Array, EntryPoint, chunks

Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]
Values = dict[str, Array]


@dataclass(frozen=True)
class CasePart:
    """Some rows of a case, from step `start` up to `stop`."""

    rows: tuple[int, ...]
    start: int
    stop: int

    @property
    def steps(self) -> int:
        """How many steps it has."""
        return self.stop - self.start


@dataclass(frozen=True)
class CaseParts:
    """Every part of one case that something is known of.

    entry: the entry point it is fed to. single: the golden case of its single steps, if it has
    one. oracle: the model in float64, if it is at hand.
    """

    case: GoldenCase
    entry: EntryPoint
    single: GoldenCase | None = None
    oracle: Run | None = None

    @property
    def batch(self) -> int:
        """How many rows there are."""
        return int(next(iter(self.case.feeds.values())).shape[0])

    @property
    def steps(self) -> int:
        """How many steps there are, 0 where time cannot be cut."""
        if len(self.entry.time_symbols) != 1:
            return 0
        return chunks.length_of(self.entry, self.case.feeds)

    @property
    def whole(self) -> CasePart:
        """The case itself."""
        return CasePart(tuple(range(self.batch)), 0, self.steps)

    @property
    def causal(self) -> bool:
        """Whether what comes later changes nothing of what came before."""
        return self.entry.chunked.ok

    def feeds(self, part: CasePart) -> Values | None:
        """The inputs of a part, and the states it starts from; None where these are not known."""
        feeds = self._cut(self.case.feeds, part)
        if part.start:
            before = self._states_before(part.start)
            if before is None:
                return None
            feeds |= before
        return {name: np.take(value, part.rows, axis=0) for name, value in feeds.items()}

    def truth(self, part: CasePart) -> Values:
        """What is true of a part, by name: as much as is known."""
        feeds = self.feeds(part)
        if self.oracle is not None and feeds is not None:
            try:
                return dict(self.oracle(feeds))
            except RnnDeployError:
                return {}
        if self.case.probes:
            return {}  # what is kept of a very long case stands at steps of its own
        known = dict(self.case.truth)
        if part.stop != self.steps or part.start:
            known = self._known(part)
        return self.rows_of(known, part)

    def rows_of(self, values: Mapping[str, Array], part: CasePart) -> Values:
        """The rows of a part; of some rows, values of the whole batch are not known."""
        if part.rows == self.whole.rows:
            return dict(values)
        of_all = self.entry.of_whole_batch
        return {n: np.take(v, part.rows, axis=0) for n, v in values.items() if n not in of_all}

    def _known(self, part: CasePart) -> Values:
        """What golden vectors say of steps `start` to `stop`, of every row."""
        if not self.causal:
            return {}
        over_time = chunks.time_axes(self.entry)
        known = {
            name: np.take(value, range(part.start, part.stop), axis=over_time[name])
            for name, value in self.case.truth.items()
            if name in over_time
        }
        if part.steps == 1 and self.single is not None:
            return self._at_step(self.single.truth, part.start)
        if part.stop == self.steps:
            known |= {n: v for n, v in self.case.truth.items() if n not in over_time}
        elif self.single is not None:
            last = self._at_step(self.single.truth, part.stop - 1)
            known |= {name: value for name, value in last.items() if name not in over_time}
        return known

    def _states_before(self, step: int) -> Values | None:
        """The states before a step, from the golden case of single steps or from the oracle."""
        states = {state.tensor.name: state for state in self.entry.states}
        if self.single is not None:
            feeds = self._at_step(self.single.feeds, step)
            return {name: value for name, value in feeds.items() if name in states}
        if self.oracle is None:
            return None
        try:
            before = self.oracle(self._cut(self.case.feeds, replace(self.whole, stop=step)))
        except RnnDeployError:
            return None
        return {n: before[s.next_name].astype(s.tensor.dtype) for n, s in states.items()}

    def _at_step(self, values: Mapping[str, Array], step: int) -> Values:
        """Of tensors whose batch holds all steps, the rows of one."""
        rows = slice(step * self.batch, (step + 1) * self.batch)
        return {name: value[rows] for name, value in values.items()}

    def _cut(self, feeds: Mapping[str, Array], part: CasePart) -> Values:
        """Inputs between two steps; initial states only where the part starts at the beginning."""
        states = {state.tensor.name for state in self.entry.states}
        inputs = {name: value for name, value in feeds.items() if name not in states}
        if self.steps and part != self.whole:
            lengths = [part.start, part.steps, self.steps - part.stop]
            pieces = chunks.cut(self.entry, inputs, [length for length in lengths if length])
            inputs = list(pieces)[1 if part.start else 0]
        kept = {name: value for name, value in feeds.items() if name in states and not part.start}
        return inputs | kept
