"""The first place where a runtime leaves the truth, and the smallest input that shows it.

    failing check of a case --fewest steps--> --one row--> --latest start--> Finding

Steps are taken away from the end while the rest still fails, then rows, then steps from the
beginning (the state before them is the reference's). Of what is left, the first state that differs,
in the order of the layers, names the layer; the first element outside its budget names row and
unit.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.errors import RnnDeployError
from rnn_deploy.spec import STREAM, Array, StateSpec, chunks
from rnn_deploy.verifying.diagnose.finding import ElementPair, Finding
from rnn_deploy.verifying.judge.checks import CHECKS, RUNNING, CheckSubject
from rnn_deploy.verifying.judge.compare import Comparison, errors, limits_of
from rnn_deploy.verifying.judge.parts import CasePart, CaseParts, Run
from rnn_deploy.verifying.judge.tolerance import Budgets
from rnn_deploy.verifying.judge.trials import Trial, TrialResult, as_known, trials_of
from rnn_deploy.verifying.report.evidence import Observation

MOST_TRIED = 64  # steps tried one by one
MOST_HALVED = 1024  # steps of a part that is halved on to find where it begins to fail
SHOWN = 4  # elements shown beside each other


@dataclass(frozen=True)
class FirstDifference:
    """The first element of a tensor that is outside its budget, and those beside it.

    row, step: where it is in the batch and in time, as far as the tensor has these axes.
    """

    tensor: str
    row: int | None = None
    step: int | None = None
    beside: tuple[ElementPair, ...] = ()


def finding_of(
    subject: CheckSubject,
    failed: Comparison,
    case: GoldenCase,
    tolerance: Budgets,
    single: GoldenCase | None = None,
    oracle: Run | None = None,
) -> Finding:
    """Where `failed`, a comparison of this case, first leaves the truth.

    single: the golden case of this one's single steps. oracle: the model in float64, if at hand.
    """
    plain = Finding(failed.runtime, failed.check, failed.case, failed.name, "", "", None, None, (),
                    0, 0, detail=failed.detail, files=failed.files)  # fmt: skip
    for trial in trials_of(failed.check, subject, case, single, oracle):
        search = _Search(trial, tolerance)
        if search.fails(trial.parts.whole):
            return _found(plain, search, subject)
    return _from_values(plain, subject, case, tolerance)


def _found(plain: Finding, search: "_Search", subject: CheckSubject) -> Finding:
    trial, part = search.trial, search.smallest()
    place, right = search.first(part), trial.runner.entry.name == STREAM
    stream = subject.runners.get(STREAM)
    if not right and stream is not None and trial.parts.entry is stream.entry and trial.rows == 1:
        # The stream shows states, the sequence entry point does not.
        beside = _Search(as_known(trial.parts, stream), search.tolerance)
        seen = beside.first(part)
        if seen is None and beside.tried(part) is not None:
            said = "the stream entry point is right there"
            plain = replace(plain, detail="; ".join(filter(None, (plain.detail, said))))
        place, right = seen or place, seen is not None
    subject.ran.taken()
    tried = search.tried(part)
    plain = replace(plain, files=subject.ran.taken())
    known = {} if tried is None else tried.truth
    right = right and all(state.next_name in known for state in _states(subject))
    return _said(plain, trial.parts, part, place or FirstDifference(plain.tensor), subject, right)


class _Search:
    """Parts of one case, run and judged."""

    def __init__(self, trial: Trial, tolerance: Budgets) -> None:
        self.trial, self.tolerance, self.parts = trial, tolerance, trial.parts

    def smallest(self) -> CasePart:
        """The part with the fewest steps, then rows, that still fails."""
        part = self._fewest_steps(self.parts.whole)
        part = self._fewest_rows(part)
        for steps in _strides(part.stop):
            later = replace(part, start=part.stop - steps)
            if steps < part.stop and self.parts.causal and self.fails(later):
                return later
        return part

    def _fewest_steps(self, whole: CasePart) -> CasePart:
        """Steps taken away from the end; of very many, as if a part that fails did so from there
        on."""
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
        """Whether anything that is known of a part is outside its budget."""
        return next(iter(self._places(part)), None) is not None

    def first(self, part: CasePart) -> FirstDifference | None:
        """The first place outside its budget: states before outputs, in the order of the layers."""
        names = [state.next_name for state in self.parts.entry.states]
        places = list(self._places(part))
        places.sort(key=lambda p: names.index(p.tensor) if p.tensor in names else len(names))
        return next(iter(places), None)

    def tried(self, part: CasePart) -> TrialResult | None:
        """What a part gave; None where it cannot be run."""
        try:
            return self.trial.of(part)
        except RnnDeployError:
            return None

    def _places(self, part: CasePart) -> Iterable[FirstDifference]:
        tried = self.tried(part)
        if tried is None:
            return
        for name, value in tried.values.items():
            if name in tried.truth:
                truth = tried.truth[name]
                axis = chunks.time_axes(self.parts.entry).get(name)
                place = _place(name, value, truth, limits_of(truth, *self._allowed(name)), axis)
                if place is not None and place.step is not None and tried.steps:
                    place = replace(place, step=tried.steps[place.step])
                if place is not None:
                    yield place

    def _allowed(self, name: str) -> tuple[float, float]:
        allowed = self.tolerance.of(self.parts.case, name)
        return allowed.budget, allowed.rtol


def _place(
    name: str, value: Array, truth: Array, limits: Array, time: int | None
) -> FirstDifference | None:
    """The first element outside its budget, by the axis of time, then rows; None if all are within.

    Its row is what stands beside it: of one step, where the tensor is over time.
    """
    if value.shape != truth.shape:
        return FirstDifference(name)
    error = errors(value, truth)
    wrong = np.argwhere(error > limits.astype(np.float64))
    if not len(wrong):
        return None
    first = min(map(tuple, wrong), key=lambda i: (i[1], i[0]) if time == 1 else i[:1])
    row = first[:2] if time == 1 else first[:1]
    order = np.argsort(-error[row], axis=None, kind="stable")[:SHOWN]
    units = [tuple(map(int, np.unravel_index(k, error[row].shape))) for k in order]
    beside = tuple(ElementPair(u, float(value[row][u]), float(truth[row][u])) for u in units)
    return FirstDifference(name, int(first[0]), int(first[1]) if time == 1 else None, beside)


def finding_in(observation: Observation, states: Sequence[StateSpec]) -> Finding:
    """What the tensors of one comparison that failed show by themselves; nothing is run.

    states: all there are, to tell whose a tensor is.
    """
    o, c = observation, observation.comparison
    limits = limits_of(o.truth, *o.allowed, o.bound)
    over_time = 1 if o.time_axis == 1 else None
    place = _place(c.name, o.actual, o.truth, limits, over_time) or FirstDifference(c.name)
    row, step = place.row, None if place.step is None else o.steps[place.step]
    if o.time_axis == 0 and row is not None:  # steps side by side in the batch
        step = o.steps[row]
        row -= o.steps.index(step)
    plain = Finding(c.runtime, c.check, c.case, c.name, "", "", step, row, (), 0, 0, 0, False,
                    c.detail, files=c.files)  # fmt: skip
    return _placed(plain, place, states)


def _said(
    plain: Finding,
    parts: CaseParts,
    part: CasePart,
    place: FirstDifference,
    subject: CheckSubject,
    right: bool,
) -> Finding:
    row = None if place.row is None else part.rows[place.row]
    step, start = part.start + part.steps - 1, part.start
    if place.step is not None:
        step = part.start + place.step
    if parts.case.steps and row is not None:  # its batch holds the steps of another case
        step, row = divmod(row, parts.batch // parts.case.steps)
        start = step
    told = bool(parts.steps) and (place.step is not None or part != parts.whole or part.steps == 1)
    placed = _placed(plain, place, _states(subject))
    return replace(
        placed,
        states_right=right and not placed.layer and bool(_states(subject)),
        step=step if told else None,
        row=row,
        batch=len(part.rows),
        steps=part.steps,
        start=start,
    )


def _from_values(
    plain: Finding, subject: CheckSubject, case: GoldenCase, tolerance: Budgets
) -> Finding:
    """What the check's own run shows, where nothing can be taken away from it."""
    axes = {n: a for r in subject.runners.values() for n, a in chunks.time_axes(r.entry).items()}
    try:
        for found in CHECKS[plain.check](subject, case):
            expected = case.truth if found.expected is None else found.expected
            for name in _in_order(found.values, subject):
                allowed, bound = tolerance.of(case, name), found.bounds.get(name)
                value, truth = found.values[name], expected[name]
                limits = limits_of(truth, allowed.budget, allowed.rtol, bound)
                place = _place(name, value, truth, limits, axes.get(name))
                if place is not None:
                    return _of_values(plain, place, found.detail, case, subject)
    except RnnDeployError:
        return plain  # it breaks off, which the report says already; there are no values to show
    return plain


def _of_values(
    plain: Finding, place: FirstDifference, detail: str, case: GoldenCase, subject: CheckSubject
) -> Finding:
    step, row, beside = place.step, place.row, place.beside
    if step is not None and case.probes:
        step = case.probes[step]
    batch = steps = 0
    if plain.check == RUNNING and row is not None:  # its states are by step, then row
        step, row, batch, steps = row, 0, 1, row + 1
        beside = tuple(replace(b, index=b.index[1:]) for b in beside)
    placed = _placed(plain, place, _states(subject))
    return replace(
        placed, step=step, row=row, beside=beside, detail=detail, batch=batch, steps=steps
    )


def _placed(plain: Finding, place: FirstDifference, states: Sequence[StateSpec]) -> Finding:
    state = next((s for s in states if s.next_name == place.tensor), None)
    layer, role = (state.layer, state.role) if state else ("", "")
    return replace(plain, tensor=place.tensor, layer=layer, role=role, beside=place.beside)


def _in_order(values: Mapping[str, Array], subject: CheckSubject) -> list[str]:
    """States in the order of the layers, then outputs."""
    states = [state.next_name for state in _states(subject) if state.next_name in values]
    return [*states, *(name for name in values if name not in states)]


def _states(subject: CheckSubject) -> tuple[StateSpec, ...]:
    runner = subject.runners.get(STREAM)
    return () if runner is None else runner.entry.states


def _strides(steps: int) -> Iterable[int]:
    """Numbers of steps to try, fewest first: each, or each twice the last where there are many."""
    return range(1, steps) if steps <= MOST_TRIED else [2**k for k in range(steps.bit_length())]
