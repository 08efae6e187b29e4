"""Find the first wrong place of a runtime, and the smallest input that shows it.

    failed check of a case --fewest steps--> --fewest rows--> --latest start--> Finding

The search removes steps from the end while the rest still fails, then rows, then steps from the
beginning (with the reference's state before them). In the rest, the first state that differs, in
the order of the layers, names the layer; the first element outside its budget names row and unit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from rnn_deploy.errors import RnnDeployError
from rnn_deploy.spec import STREAM, Array, StateSpec, chunks
from rnn_deploy.verifying.diagnose.finding import ElementPair, Finding
from rnn_deploy.verifying.judge.checks import EVERY_CHECK, RUNNING
from rnn_deploy.verifying.judge.compare import Comparison, TensorPair
from rnn_deploy.verifying.judge.distance import errors
from rnn_deploy.verifying.judge.given import with_values
from rnn_deploy.verifying.judge.parts import CasePart, KnownCase
from rnn_deploy.verifying.judge.subject import CheckSubject
from rnn_deploy.verifying.judge.tolerance import Budget, Budgets
from rnn_deploy.verifying.judge.trials import Trial, TrialResult, trial_at_known_steps, trials_of
from rnn_deploy.verifying.report.observation import Observation

MOST_TRIED = 64  # steps tried one by one
MOST_HALVED = 1024  # a part with more steps is not halved to find its first wrong step
SHOWN = 4  # elements of a finding


@dataclass(frozen=True)
class FirstDifference:
    """The first element of a tensor outside its budget, and other elements of its row.

    row, step: its place in the batch and in time, if the tensor has these axes.
    """

    tensor: str
    row: int | None = None
    step: int | None = None
    elements: tuple[ElementPair, ...] = ()


def localise(
    subject: CheckSubject, failed: Comparison, known: KnownCase, budgets: Budgets
) -> Finding:
    """Find where `failed`, a comparison of this case, is wrong first."""
    plain = _finding_without_place(failed)
    for trial in trials_of(failed.check, subject, known):
        search = _Search(trial, budgets)
        if search.fails(trial.parts.whole):
            return _from_search(plain, search, subject)
    return _from_check(plain, subject, known, budgets)


def _finding_without_place(failed: Comparison) -> Finding:
    return Finding(failed.runtime, failed.check, failed.case, failed.name, "", "", None, None, (),
                   0, 0, detail=failed.detail, files=failed.files)  # fmt: skip


def _from_search(plain: Finding, search: "_Search", subject: CheckSubject) -> Finding:
    trial, part = search.trial, search.smallest()
    place, states_seen = search.first(part), trial.runner.entry.name == STREAM
    stream = subject.runners.get(STREAM)
    same_entry = stream is not None and trial.parts.entry is stream.entry
    if stream is not None and not states_seen and same_entry and trial.rows == 1:
        # The stream shows states, the sequence entry point does not.
        by_stream = _Search(trial_at_known_steps(trial.parts, stream), search.budgets)
        seen = by_stream.first(part)
        if seen is None and by_stream.run(part) is not None:
            detail = "the stream entry point is right there"
            plain = replace(plain, detail="; ".join(filter(None, (plain.detail, detail))))
        place, states_seen = seen or place, seen is not None
    subject.files_run.take()
    result = search.run(part)
    plain = replace(plain, files=subject.files_run.take())
    known = {} if result is None else result.truth
    states_seen = states_seen and all(state.next_name in known for state in _states(subject))
    finding = _with_place(plain, place or FirstDifference(plain.tensor), _states(subject))
    states_right = states_seen and not finding.layer and bool(_states(subject))
    return replace(finding, states_right=states_right, **search.extent(part, finding))


class _Search:
    """Runs parts of one case and compares them with their true values."""

    def __init__(self, trial: Trial, budgets: Budgets) -> None:
        self.trial, self.budgets, self.parts = trial, budgets, trial.parts

    def smallest(self) -> CasePart:
        """Return the part with the fewest steps, then rows, that still fails."""
        part = self._fewest_steps(self.parts.whole)
        part = self._fewest_rows(part)
        for steps in _strides(part.stop):
            later = replace(part, start=part.stop - steps)
            if steps < part.stop and self.parts.causal and self.fails(later):
                return later
        return part

    def _fewest_steps(self, whole: CasePart) -> CasePart:
        """Remove steps from the end. Bisection works because a longer part fails too."""
        stops = [stop for stop in self.trial.stops or _strides(whole.steps) if stop < whole.stop]
        good = 0
        for stop in stops:
            if self.fails(replace(whole, stop=stop)):
                break
            good = stop
        else:
            stop = whole.stop
        while stop - good > 1 and stop <= MOST_HALVED:
            middle = (good + stop) // 2
            if self.fails(replace(whole, stop=middle)):
                stop = middle
            else:
                good = middle
        return replace(whole, stop=stop)

    def _fewest_rows(self, part: CasePart) -> CasePart:
        fewest = self.trial.rows
        for rows in combinations(part.rows, fewest) if len(part.rows) > fewest else ():
            if self.fails(replace(part, rows=rows)):
                return replace(part, rows=rows)
        for row in part.rows:
            rest = tuple(other for other in part.rows if other != row)
            if len(part.rows) > fewest and self.fails(replace(part, rows=rest)):
                part = replace(part, rows=rest)
        return part

    def fails(self, part: CasePart) -> bool:
        """Return whether a known value of a part is outside its budget."""
        return next(iter(self._places(part)), None) is not None

    def first(self, part: CasePart) -> FirstDifference | None:
        """Return the first place outside its budget: states before outputs, by layer."""
        names = [state.next_name for state in self.parts.entry.states]
        places = list(self._places(part))
        places.sort(key=lambda p: names.index(p.tensor) if p.tensor in names else len(names))
        return next(iter(places), None)

    def run(self, part: CasePart) -> TrialResult | None:
        """Return the values of a part; None if it cannot be run."""
        try:
            return self.trial.run(part)
        except RnnDeployError:
            return None

    def extent(self, part: CasePart, finding: Finding) -> dict[str, Any]:
        """Return the size and start of a part, and a finding's row and step in the whole case."""
        case = self.parts.case
        row = None if finding.row is None else part.rows[finding.row]
        step, start = part.start + part.steps - 1, part.start
        if finding.step is not None:
            step = part.start + finding.step
        if case.steps and row is not None:  # the rows are the steps of another case
            step, row = divmod(row, self.parts.batch // case.steps)
            start = step
        certain = finding.step is not None or part != self.parts.whole or part.steps == 1
        return {"step": step if self.parts.steps and certain else None, "row": row,
                "batch": len(part.rows), "steps": part.steps, "start": start}  # fmt: skip

    def _places(self, part: CasePart) -> Iterable[FirstDifference]:
        result = self.run(part)
        if result is None:
            return
        for name, value in result.values.items():
            if name in result.truth:
                axis = chunks.time_axes(self.parts.entry).get(name)
                budget = self.budgets.budget_of(self.parts.case, name)
                place = _place(name, TensorPair(value, result.truth[name]), budget, axis)
                if place is not None and place.step is not None and result.steps:
                    place = replace(place, step=result.steps[place.step])
                if place is not None:
                    yield place


def _place(name: str, pair: TensorPair, budget: Budget, time: int | None) -> FirstDifference | None:
    """Return the first element outside its budget, by time, then rows; None if all are within.

    time: the axis over time. The elements are those of the same row, and of the same step if the
    tensor is over time.
    """
    value, truth = pair.actual, pair.truth
    if value.shape != truth.shape:
        return FirstDifference(name)
    error = errors(value, truth)
    wrong = np.argwhere(error > budget.limits(truth))
    if not len(wrong):
        return None
    first = min(map(tuple, wrong), key=lambda i: (i[1], i[0]) if time == 1 else i[:1])
    row = first[:2] if time == 1 else first[:1]
    order = np.argsort(-error[row], axis=None, kind="stable")[:SHOWN]
    units = [tuple(map(int, np.unravel_index(k, error[row].shape))) for k in order]
    elements = tuple(ElementPair(u, float(value[row][u]), float(truth[row][u])) for u in units)
    return FirstDifference(name, int(first[0]), int(first[1]) if time == 1 else None, elements)


def localise_observation(observation: Observation, states: Sequence[StateSpec]) -> Finding:
    """Find the first wrong place in the tensors of one failed comparison; nothing is run.

    states: the states of the bundle, to name the layer of a tensor.
    """
    o, c = observation, observation.comparison
    time = 1 if o.time_axis == 1 else None
    place = _place(c.name, o.tensors, o.budget, time) or FirstDifference(c.name)
    row, step = place.row, None if place.step is None else o.steps[place.step]
    if o.time_axis == 0 and row is not None:  # steps side by side in the batch
        step = o.steps[row]
        row -= o.steps.index(step)
    place = replace(place, row=row, step=step)
    return _with_place(_finding_without_place(c), place, states)


def _from_check(
    plain: Finding, subject: CheckSubject, known: KnownCase, budgets: Budgets
) -> Finding:
    """Find the first wrong place in the check's own run, if no part of the case can be run."""
    case, states = known.case, _states(subject)
    axes = {n: a for r in subject.runners.values() for n, a in chunks.time_axes(r.entry).items()}
    try:
        for result in EVERY_CHECK[plain.check](subject, case):
            expected = case.truth if result.expected is None else result.expected
            for name in _in_order(result.values, states):
                judged = with_values(case, expected)
                budget = budgets.budget_of(judged, name, result.bounds.get(name), result.rounding)
                pair = TensorPair(result.values[name], expected[name])
                place = _place(name, pair, budget, axes.get(name))
                if place is not None:
                    if place.step is not None and case.probes and result.expected is None:
                        place = replace(place, step=case.probes[place.step])
                    finding = _with_place(replace(plain, detail=result.detail), place, states)
                    return _by_running_step(finding) if plain.check == RUNNING else finding
    except RnnDeployError:
        return plain  # the report mentions the failed check already
    return plain


def _by_running_step(finding: Finding) -> Finding:
    """Correct the place in states of the check `running-bound`, whose first axis is time."""
    if finding.row is None:
        return finding
    elements = tuple(replace(e, index=e.index[1:]) for e in finding.elements)
    step = finding.row
    return replace(finding, step=step, row=0, elements=elements, batch=1, steps=step + 1)


def _with_place(plain: Finding, place: FirstDifference, states: Sequence[StateSpec]) -> Finding:
    state = next((s for s in states if s.next_name == place.tensor), None)
    layer, role = (state.layer, state.role) if state else ("", "")
    return replace(plain, tensor=place.tensor, layer=layer, role=role, row=place.row,
                   step=place.step, elements=place.elements)  # fmt: skip


def _in_order(values: Mapping[str, Array], states: Sequence[StateSpec]) -> list[str]:
    """Return the names of states in the order of the layers, then those of outputs."""
    names = [state.next_name for state in states if state.next_name in values]
    return [*names, *(name for name in values if name not in names)]


def _states(subject: CheckSubject) -> tuple[StateSpec, ...]:
    runner = subject.runners.get(STREAM)
    return () if runner is None else runner.entry.states


def _strides(steps: int) -> Iterable[int]:
    """Return numbers of steps to try: each if there are few, otherwise powers of two."""
    return range(1, steps) if steps <= MOST_TRIED else [2**k for k in range(steps.bit_length())]
