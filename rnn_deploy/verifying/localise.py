"""The first place where a runtime leaves the truth, and the smallest input that shows it.

    failing check of a case --fewest steps--> --one row--> --latest start--> Finding

Steps are taken away from the end while the rest still fails, then rows, then steps from the
beginning (the state before them is the reference's). Of what is left, the first state that differs,
in the order of the layers, names the layer; the first element outside its budget names row and
unit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from rnn_deploy import chunks
from rnn_deploy.bundle import Case
from rnn_deploy.errors import RnnDeployError
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.runtimes.stream import run_in_chunks
from rnn_deploy.spec import SEQUENCE, STREAM, Array, EntryPoint, StateSpec
from rnn_deploy.verifying.checks import CHECKS, RUNNING, Subject
from rnn_deploy.verifying.compare import Comparison, errors, limits_of
from rnn_deploy.verifying.finding import Beside, Finding
from rnn_deploy.verifying.parts import Part, Parts, Run
from rnn_deploy.verifying.tolerance import Tolerance

MOST_TRIED = 64  # steps tried one by one
SHOWN = 4  # elements shown beside each other


@dataclass(frozen=True)
class Place:
    """The first element of a tensor that is outside its budget, and those beside it.

    row, step: where it is in the batch and in time, as far as the tensor has these axes.
    """

    tensor: str
    row: int | None = None
    step: int | None = None
    beside: tuple[Beside, ...] = ()


def finding_of(
    subject: Subject,
    failed: Comparison,
    case: Case,
    tolerance: Tolerance,
    single: Case | None = None,
    oracle: Run | None = None,
) -> Finding:
    """Where `failed`, a comparison of this case, first leaves the truth.

    single: the golden case of this one's single steps. oracle: the model in float64, if at hand.
    """
    plain = Finding(failed.runtime, failed.check, failed.case, failed.name, "", "", None, None, (),
                    0, 0, detail=failed.detail)  # fmt: skip
    runner = _runner(subject, failed.check, case)
    run = None if runner is None else _run_of(failed.check, runner)
    if runner is None or run is None:
        return _from_values(plain, subject, case, tolerance)
    parts = Parts(case, _entry(subject, runner), single, oracle)
    search = _Search(parts, run, tolerance)
    if not search.fails(parts.whole):
        return _from_values(plain, subject, case, tolerance)
    part = search.smallest()
    stream = subject.runners.get(STREAM)
    place, right = search.first(part, run), False
    if runner.entry.name == SEQUENCE and stream is not None and parts.entry is stream.entry:
        seen = search.first(part, stream.run)  # it shows states, the sequence entry point does not
        if seen is None:
            said = "the stream entry point is right there"
            plain = replace(plain, detail="; ".join(filter(None, (plain.detail, said))))
        place = seen or place
        right = seen is not None
    elif runner.entry.name == STREAM:
        right = True
    known = parts.truth(part)
    right = right and all(state.next_name in known for state in _states(subject))
    return _said(plain, parts, part, place or Place(failed.name), subject, right)


class _Search:
    """Parts of one case, run and judged."""

    def __init__(self, parts: Parts, run: Run, tolerance: Tolerance) -> None:
        self.parts, self._run, self._tolerance = parts, run, tolerance

    def smallest(self) -> Part:
        """The part with the fewest steps, then rows, that still fails."""
        part = self.parts.whole
        for stop in _tried(part.steps):
            shorter = replace(part, stop=stop)
            if self.fails(shorter):
                part = shorter
                break
        for row in part.rows:
            if len(part.rows) > 1 and self.fails(replace(part, rows=(row,))):
                part = replace(part, rows=(row,))
        for start in range(part.stop - 1, 0, -1):
            later = replace(part, start=start)
            if self.parts.causal and self.fails(later):
                return later
        return part

    def fails(self, part: Part) -> bool:
        """Whether anything that is known of a part is outside its budget."""
        return next(iter(self._places(part, self._run)), None) is not None

    def first(self, part: Part, run: Run) -> Place | None:
        """The first place outside its budget: states before outputs, in the order of the layers."""
        names = [state.next_name for state in self.parts.entry.states]
        places = list(self._places(part, run))
        places.sort(key=lambda p: names.index(p.tensor) if p.tensor in names else len(names))
        return next(iter(places), None)

    def _places(self, part: Part, run: Run) -> Iterable[Place]:
        feeds, truth = self.parts.feeds(part), self.parts.truth(part)
        if feeds is None or not truth:
            return
        try:
            results = run(feeds)
        except RnnDeployError:
            return
        for name, value in results.items():
            if name in truth:
                axis = chunks.time_axes(self.parts.entry).get(name)
                limits = limits_of(truth[name], *self._allowed(name))
                place = _place(name, value, truth[name], limits, axis)
                if place is not None:
                    yield place

    def _allowed(self, name: str) -> tuple[float, float]:
        allowed = self._tolerance.of(self.parts.case, name)
        return allowed.budget, allowed.rtol


def _place(name: str, value: Array, truth: Array, limits: Array, time: int | None) -> Place | None:
    """The first element outside its budget, by the axis of time, then rows; None if all are within.

    Its row is what stands beside it: of one step, where the tensor is over time.
    """
    if value.shape != truth.shape:
        return Place(name)
    error = errors(value, truth)
    wrong = np.argwhere(error > limits.astype(np.float64))
    if not len(wrong):
        return None
    first = min(map(tuple, wrong), key=lambda i: (i[1], i[0]) if time == 1 else i[:1])
    row = first[:2] if time == 1 else first[:1]
    order = np.argsort(-error[row], axis=None, kind="stable")[:SHOWN]
    units = [tuple(map(int, np.unravel_index(k, error[row].shape))) for k in order]
    beside = tuple(Beside(u, float(value[row][u]), float(truth[row][u])) for u in units)
    return Place(name, int(first[0]), int(first[1]) if time == 1 else None, beside)


def _said(
    plain: Finding, parts: Parts, part: Part, place: Place, subject: Subject, right: bool
) -> Finding:
    row = None if place.row is None else part.rows[place.row]
    step, start = part.start + part.steps - 1, part.start
    if place.step is not None:
        step = part.start + place.step
    if parts.case.steps and row is not None:  # its batch holds the steps of another case
        step, row = divmod(row, parts.batch // parts.case.steps)
        start = step
    told = bool(parts.steps) and (place.step is not None or part != parts.whole or part.steps == 1)
    placed = _placed(plain, place, subject)
    return replace(
        placed,
        states_right=right and not placed.layer and bool(_states(subject)),
        step=step if told else None,
        row=row,
        batch=len(part.rows),
        steps=part.steps,
        start=start,
    )


def _from_values(plain: Finding, subject: Subject, case: Case, tolerance: Tolerance) -> Finding:
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


def _of_values(plain: Finding, place: Place, detail: str, case: Case, subject: Subject) -> Finding:
    step, row, beside = place.step, place.row, place.beside
    if step is not None and case.probes:
        step = case.probes[step]
    if plain.check == RUNNING:  # its states are by step, then row
        step, row = row, 0
        beside = tuple(replace(b, index=b.index[1:]) for b in beside)
    placed = _placed(plain, place, subject)
    return replace(placed, step=step, row=row, beside=beside, detail=detail)


def _placed(plain: Finding, place: Place, subject: Subject) -> Finding:
    state = next((s for s in _states(subject) if s.next_name == place.tensor), None)
    layer, role = (state.layer, state.role) if state else ("", "")
    return replace(plain, tensor=place.tensor, layer=layer, role=role, beside=place.beside)


def _in_order(values: Mapping[str, Array], subject: Subject) -> list[str]:
    """States in the order of the layers, then outputs."""
    states = [state.next_name for state in _states(subject) if state.next_name in values]
    return [*states, *(name for name in values if name not in states)]


def _states(subject: Subject) -> tuple[StateSpec, ...]:
    runner = subject.runners.get(STREAM)
    return () if runner is None else runner.entry.states


def _runner(subject: Subject, check: str, case: Case) -> Runner | None:
    entry = SEQUENCE if check == "sequence" or not subject.takes(case, STREAM) else STREAM
    return subject.runners.get(entry)


def _entry(subject: Subject, runner: Runner) -> EntryPoint:
    """The entry point by which a case is cut: the stream's, which knows more of time and states."""
    stream = subject.runners.get(STREAM)
    alike = stream is not None and stream.entry.inputs == runner.entry.inputs
    return stream.entry if stream is not None and alike else runner.entry


def _run_of(check: str, runner: Runner) -> Run | None:
    """How a check runs a part; None for one whose parts mean nothing."""
    if check in ("sequence", "states", "teacher-forced", "masks", "extremes"):
        return runner.run
    if check == "step":
        return lambda feeds: run_in_chunks(runner, feeds, [1] * _length(runner.entry, feeds))
    if check == "chunked":
        return lambda feeds: run_in_chunks(runner, feeds, _halves(_length(runner.entry, feeds)))
    return None


def _length(entry: EntryPoint, feeds: Mapping[str, Array]) -> int:
    return chunks.length_of(entry, feeds)


def _halves(total: int) -> list[int]:
    return [total // 2, total - total // 2] if total > 1 else [total]


def _tried(steps: int) -> Iterable[int]:
    """Numbers of steps to try, fewest first: each up to a limit, then in equal strides."""
    stride = max(1, steps // MOST_TRIED)
    return range(1, steps, stride)
