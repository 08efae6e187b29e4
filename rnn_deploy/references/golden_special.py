"""Golden vectors that are for one check only.

teacher-forced   every step of a sequence side by side in the batch, each from the oracle's own
                 state before it, so that errors cannot accumulate
masks            a row for each way to mask: none, right, left, holes, everything, every second, one
extremes         zeros, saturating inputs, denormals, infinities, NaN; large initial states
long             one sequence of very many steps, drawn from a seed and compared at a few of them;
                 fewer steps for a model whose values overflow
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.errors import InputError
from rnn_deploy.references.golden import References, fitting, sizes_of
from rnn_deploy.references.golden_long import LeftOut, case_for, long_case
from rnn_deploy.references.rows import same
from rnn_deploy.references.samples import draw, is_drawable, says_mask, unmasked
from rnn_deploy.spec import Array, EntryPoint, TensorSpec, chunks

FORCED, MASKS, EXTREMES = "teacher-forced", "masks", "extremes"
NAN, DENORMAL = "nan", "denormal"  # cases of extremes
NAN_UNDEFINED = "the largest of a number and NaN in TensorFlow's pooling depends on the processor"
FLUSHING = (
    "the result depends on whether the processor flushes denormal numbers to zero, which runtimes"
    " decide in different ways"
)
Values = Callable[[Array], Array]


@dataclass(frozen=True)
class SpecialCases:
    """The cases of special checks, and those that were left out."""

    cases: list[GoldenCase]
    left_out: list[LeftOut]


def special_cases(
    references: References,
    sequence: EntryPoint,
    stream: EntryPoint | None,
    plain: list[GoldenCase],
    seed: int,
    *,
    long: int,
    nan: bool = True,
) -> SpecialCases:
    """Return the cases of every special check that the model accepts.

    stream: with the result of the chunk test. plain: the cases for all checks; the longest one is
    cut into single steps. long: the number of steps, 0 for no such case. nan: whether the model's
    result for NaN is defined.
    """
    found = list(_cases(references, sequence, stream, plain, seed, long, nan))
    cases = [case for case in found if isinstance(case, GoldenCase)]
    return SpecialCases(cases, [case for case in found if isinstance(case, LeftOut)])


def _cases(
    references: References,
    sequence: EntryPoint,
    stream: EntryPoint | None,
    plain: list[GoldenCase],
    seed: int,
    long: int,
    nan: bool,
) -> Iterator[GoldenCase | LeftOut]:
    if stream is not None and stream.chunked.ok:
        yield from _forced(references, stream, plain)
    widest = stream or sequence
    if not all(map(is_drawable, widest.inputs)):
        return
    wanted = [(MASKS, MASKS, _masked(widest, _unmasked(widest, seed, 7, 12)))]
    usual = _unmasked(widest, seed, 3, 7)
    wanted += [(EXTREMES, name, feeds) for name, feeds in _extremes(widest, usual)]
    if stream is not None:
        wanted += [(EXTREMES, name, feeds) for name, feeds in _large_states(stream, seed)]
    for check, name, feeds in wanted:
        if feeds is None:
            continue
        if name == NAN and not nan:
            yield LeftOut(name, NAN_UNDEFINED)
        elif name == DENORMAL and _flushing_matters(references, feeds):
            yield LeftOut(name, FLUSHING)
        else:
            yield from _taken(references, check, name, feeds, sequence, stream)
    if long and len(widest.time_symbols) == 1:
        yield from long_case(references, sequence, stream, seed, long)


def _flushing_matters(references: References, feeds: dict[str, Array]) -> bool:
    """Return whether zeros in place of denormals change the result.

    TensorFlow flushes denormals, so slightly larger numbers represent runtimes that keep them.
    """
    truth = references.oracle or references.reference
    try:
        kept, flushed = (
            truth.run({n: _times(v, f) if v.dtype.kind == "f" else v for n, v in feeds.items()})
            for f in (1e8, 0.0)
        )
    except InputError:
        return False
    return not all(same(value, flushed[name]) for name, value in kept.items())


def _taken(
    references: References,
    check: str,
    name: str,
    feeds: dict[str, Array],
    sequence: EntryPoint,
    stream: EntryPoint | None,
) -> Iterator[GoldenCase]:
    """Return the case, if the model accepts it and both precisions agree on finite values."""
    entries = fitting(sequence, stream, feeds)
    try:
        case = case_for(references, name, entries, feeds, check)
    except InputError:
        return
    agree = (
        np.array_equal(np.isfinite(case.reference[n]), np.isfinite(value))
        for n, value in case.oracle.items()
    )
    if entries and all(agree):
        yield case


def _forced(
    references: References, stream: EntryPoint, plain: list[GoldenCase]
) -> Iterator[GoldenCase]:
    fitting_ones = [case for case in plain if stream.name in case.entries and case.chunks]
    open_batch = all(isinstance(tensor.shape[0], str) for tensor in stream.all_inputs)
    if references.oracle is None or not fitting_ones or not open_batch:
        return
    whole = max(fitting_ones, key=lambda case: chunks.length_of(stream, case.feeds))
    steps = chunks.length_of(stream, whole.feeds)
    carried = {
        s.tensor.name: whole.feeds[s.tensor.name]
        for s in stream.states
        if s.tensor.name in whole.feeds
    }
    befores: list[Mapping[str, Array]] = []
    for piece in chunks.cut(stream, whole.feeds, [1] * steps):
        batch = next(iter(piece.values())).shape[0]
        zero = {s.tensor.name: np.zeros((batch, *_fixed(s.tensor))) for s in stream.states}
        befores.append(piece | zero | carried)
        results = references.oracle.run(piece | carried)
        carried = {state.tensor.name: results[state.next_name] for state in stream.states}
    feeds = {
        tensor.name: np.concatenate([b[tensor.name] for b in befores]).astype(tensor.dtype)
        for tensor in stream.all_inputs
    }
    name = f"{whole.name}-steps"
    yield replace(case_for(references, name, (stream.name,), feeds, FORCED), steps=steps)


def _unmasked(entry: EntryPoint, seed: int, rows: int, time: int) -> dict[str, Array]:
    rng = np.random.default_rng([seed, 1])
    return unmasked(entry.inputs, sizes_of(entry, rows, time), rng)


def _masked(entry: EntryPoint, usual: dict[str, Array]) -> dict[str, Array] | None:
    """Return rows masked in seven ways; None if no input determines the mask."""
    if not any(map(says_mask, entry.inputs)):
        return None
    feeds = {name: value.copy() for name, value in usual.items()}
    for tensor in filter(says_mask, entry.inputs):
        value = feeds[tensor.name]
        steps = np.arange(value.shape[1])
        half = value.shape[1] // 2
        ways = (
            *(steps < 0, steps > half, steps < half, steps % 3 == 1, steps >= 0),
            *(steps % 2 == 0, steps == half),
        )
        for row, masked in enumerate(ways[: value.shape[0]]):
            value[row, masked] = False if tensor.padding is None else tensor.padding
    return feeds


def _extremes(
    entry: EntryPoint, usual: dict[str, Array]
) -> Iterator[tuple[str, dict[str, Array] | None]]:
    floats = [t.name for t in entry.inputs if np.dtype(t.dtype).kind == "f"]
    tokens = [t for t in entry.inputs if t.below is not None]

    def with_floats(change: Values) -> dict[str, Array] | None:
        return usual | {name: change(usual[name]) for name in floats} if floats else None

    numbers = (*floats, *(tensor.name for tensor in tokens))
    yield "zeros", usual | {name: np.zeros_like(usual[name]) for name in numbers}
    largest = {t.name: np.full_like(usual[t.name], (t.below or 1) - 1) for t in tokens}
    yield "largest", usual | largest if tokens else None
    yield "saturating", with_floats(lambda x: _held(_times(x, 1e3)))
    if all(tensor.padding != 0 for tensor in entry.inputs):  # flushed denormals would be padding
        yield DENORMAL, with_floats(lambda x: _times(x, 1e-40))
    yield "infinite", with_floats(lambda x: _at_one_place(x, np.inf))
    yield NAN, with_floats(lambda x: _at_one_place(x, np.nan))


def _large_states(stream: EntryPoint, seed: int) -> Iterator[tuple[str, dict[str, Array]]]:
    """Yield initial states far beyond the range of tanh, before some steps and before one.

    One row has all states large, one those that are outputs (h), one the others (c).
    """
    for time in (4, 1) if stream.time_symbols else (1,):
        rng = np.random.default_rng([seed, 2, time])
        sizes = sizes_of(stream, 3, time)
        feeds = _unmasked(stream, seed, 3, time)
        for state in stream.states:
            if is_drawable(state.tensor):
                (value,) = draw([state.tensor], sizes, rng).values()
                rows = [row for row in (0, 1 if state.role == "h" else 2) if row < len(value)]
                large = rng.uniform(8, 16, value[rows].shape)
                value[rows] = np.copysign(large, value[rows])
                feeds[state.tensor.name] = value
        yield "large-states" if time > 1 else "large-states-step", feeds


def _times(x: Array, factor: float) -> Array:
    return (x.astype(np.float64) * factor).astype(x.dtype)


def _held(x: Array) -> Array:
    """Repeat the first step in every row but the first, so that effects add up over steps."""
    held = x.copy()
    if x.ndim > 2:
        held[min(1, len(x) - 1) :] = x[min(1, len(x) - 1) :, :1]
    return held


def _at_one_place(x: Array, value: float) -> Array:
    """Put `value` at one step of the first row, and its negative in the last row."""
    spoiled = x.copy()
    middle = tuple(size // 2 for size in x.shape[1:])
    spoiled[(0, *middle)], spoiled[(-1, *middle)] = value, -value
    return spoiled


def _fixed(tensor: TensorSpec) -> tuple[int, ...]:
    return tuple(dim for dim in tensor.shape[1:] if isinstance(dim, int))
