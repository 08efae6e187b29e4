"""Parts of a golden case: fewer rows, fewer steps, and their true values.

A part is some rows of the batch and the steps from `start` to `stop`. Its true values come from the
oracle if the Keras model is available, otherwise from the golden vectors. If the model computes the
same in chunks as at once, the golden vectors have outputs over time for any part, and a state if
the golden case for single steps has it (it has the states before every step).
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
class KnownCase:
    """A golden case and the sources of true values for its parts.

    single_steps: the golden case with the single steps of this one, if there is one. oracle: the
    model in float64, if the Keras model is available.
    """

    case: GoldenCase
    single_steps: GoldenCase | None = None
    oracle: Run | None = None


@dataclass(frozen=True)
class CasePart:
    """Some rows of a case, from step `start` up to but not including step `stop`."""

    rows: tuple[int, ...]
    start: int
    stop: int

    @property
    def steps(self) -> int:
        """The number of steps."""
        return self.stop - self.start


@dataclass(frozen=True)
class CaseParts:
    """The parts of one case at one entry point, and their known values."""

    known: KnownCase
    entry: EntryPoint

    @property
    def case(self) -> GoldenCase:
        """The golden case."""
        return self.known.case

    @property
    def batch(self) -> int:
        """The number of rows."""
        return int(next(iter(self.case.feeds.values())).shape[0])

    @property
    def steps(self) -> int:
        """The number of steps, 0 if time cannot be cut."""
        if len(self.entry.time_symbols) != 1:
            return 0
        return chunks.length_of(self.entry, self.case.feeds)

    @property
    def whole(self) -> CasePart:
        """The part that is the whole case."""
        return CasePart(tuple(range(self.batch)), 0, self.steps)

    @property
    def causal(self) -> bool:
        """Return whether later steps do not change earlier outputs."""
        return self.entry.chunked.ok

    def feeds(self, part: CasePart) -> Values | None:
        """Return a part's inputs and initial states; None if the states are not known."""
        feeds = self._cut(self.case.feeds, part)
        if part.start:
            before = self._states_before(part.start)
            if before is None:
                return None
            feeds |= before
        return {name: np.take(value, part.rows, axis=0) for name, value in feeds.items()}

    def truth(self, part: CasePart) -> Values:
        """Return the true values of a part that are known, by name."""
        feeds = self.feeds(part)
        if self.known.oracle is not None and feeds is not None:
            try:
                return dict(self.known.oracle(feeds))
            except RnnDeployError:
                return {}
        if self.case.probes:
            return {}  # a very long case has true values at some steps only
        whole = part.stop == self.steps and not part.start
        return self.rows_of(self.case.truth if whole else self._golden_values(part), part)

    def rows_of(self, values: Mapping[str, Array], part: CasePart) -> Values:
        """Return the rows of a part, without tensors that have one value for the whole batch."""
        if part.rows == self.whole.rows:
            return dict(values)
        shared = self.entry.of_whole_batch
        return {n: np.take(v, part.rows, axis=0) for n, v in values.items() if n not in shared}

    def _golden_values(self, part: CasePart) -> Values:
        """Return the golden values of the steps of a part, of every row."""
        if not self.causal:
            return {}
        over_time = chunks.time_axes(self.entry)
        known = {
            name: np.take(value, range(part.start, part.stop), axis=over_time[name])
            for name, value in self.case.truth.items()
            if name in over_time
        }
        single_steps = self.known.single_steps
        if part.steps == 1 and single_steps is not None:
            return self._at_step(single_steps.truth, part.start)
        if part.stop == self.steps:
            known |= {n: v for n, v in self.case.truth.items() if n not in over_time}
        elif single_steps is not None:
            last = self._at_step(single_steps.truth, part.stop - 1)
            known |= {name: value for name, value in last.items() if name not in over_time}
        return known

    def _states_before(self, step: int) -> Values | None:
        """Return the states before a step, from the golden single steps or from the oracle."""
        states = {state.tensor.name: state for state in self.entry.states}
        if self.known.single_steps is not None:
            feeds = self._at_step(self.known.single_steps.feeds, step)
            return {name: value for name, value in feeds.items() if name in states}
        if self.known.oracle is None:
            return None
        try:
            before = self.known.oracle(self._cut(self.case.feeds, replace(self.whole, stop=step)))
        except RnnDeployError:
            return None
        return {n: before[s.next_name].astype(s.tensor.dtype) for n, s in states.items()}

    def _at_step(self, values: Mapping[str, Array], step: int) -> Values:
        """Return the rows of one step, of tensors whose batch holds all steps."""
        rows = slice(step * self.batch, (step + 1) * self.batch)
        return {name: value[rows] for name, value in values.items()}

    def _cut(self, feeds: Mapping[str, Array], part: CasePart) -> Values:
        """Cut inputs to a part's steps; keep initial states only if it starts at step 0."""
        states = {state.tensor.name for state in self.entry.states}
        inputs = {name: value for name, value in feeds.items() if name not in states}
        if self.steps and part != self.whole:
            lengths = [part.start, part.steps, self.steps - part.stop]
            pieces = chunks.cut(self.entry, inputs, [length for length in lengths if length])
            inputs = list(pieces)[1 if part.start else 0]
        kept = {name: value for name, value in feeds.items() if name in states and not part.start}
        return inputs | kept
