"""Golden vectors from the reference, and the test whether chunks equal the whole sequence.

TensorFlow runs every case in float32 and in float64. The chunk test is in float64, where "equal"
and "different" are ten orders of magnitude apart: a recurrence carries its state, and a layer that
looks along time does not.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.errors import InputError, RnnDeployError
from rnn_deploy.references.rows import MOST_ROWS, SAME, batch_of, same, why_coupled
from rnn_deploy.references.samples import draw, is_drawable, ragged, unmasked
from rnn_deploy.spec import SEQUENCE, STREAM, Array, EntryPoint, Support, TensorSpec, chunks

# (batch, time): one sequence and several, one step and several, and more sequences than a vector
# register has lanes.
SHAPES = ((1, 1), (1, 7), (3, 5), (17, 3), (2, 16))
FIXED_SHAPES = ((1, 1), (3, 1), (7, 1))  # where time is not open
STATE_SHAPES = ((1, 1), (3, 6))
WIDE = 7  # with so many rows or steps, every row has some masked steps
SAMPLES = "samples"
UNTRIED = "no golden vector has more than one step"
LONG = 300  # steps
Draw = Callable[[Sequence[TensorSpec], Mapping[str, int], np.random.Generator], dict[str, Array]]


class ReferenceRunner(Protocol):
    """A reference: takes inputs and initial states by name, returns outputs and final states."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]: ...


@dataclass(frozen=True)
class References:
    """The reference in float32, and the oracle in float64 if there is one."""

    reference: ReferenceRunner
    oracle: ReferenceRunner | None


def make_cases(
    references: References,
    sequence: EntryPoint,
    stream: EntryPoint | None,
    samples: Mapping[str, Array] | None,
    seed: int,
    *,
    every_length: bool = True,
    drawn: Draw | None = None,
) -> list[GoldenCase]:
    """Make golden vectors for the entry points: generated ones, and one from `samples` if given.

    drawn: generates the inputs in place of `samples.draw`.

    Raises InputError if the model rejects a case; without `every_length` only if it rejects all (a
    convolution before the recurrence needs more than one step).
    """
    rng = np.random.default_rng(seed)
    cases: list[GoldenCase] = []
    refusal: InputError | None = None
    for name, feeds in _feeds(sequence, stream, samples, rng, drawn):
        try:
            cases.append(_case(references, name, feeds, sequence, stream, rng))
        except InputError as error:
            refusal = error
            if every_length or name == SAMPLES:
                raise
    for entry in (sequence, stream):
        if entry is not None and not any(entry.name in case.entries for case in cases):
            raise refusal or InputError(
                "E-EXPORT-NO-GOLDEN",
                f"no golden vector fits the entry point '{entry.name}'; give --samples FILE.npz",
            )
    return cases


def chunks_match(
    truth: ReferenceRunner, stream: EntryPoint, cases: Sequence[GoldenCase], near: float = SAME
) -> Support:
    """Return whether every case, run in its chunks, has the same results as the whole sequence.

    truth: the oracle; for a model without one, the reference, with `near` as its rounding error.
    """
    for tensor in stream.outputs:
        if any(tensor.shape.count(symbol) > 1 for symbol in stream.time_symbols):
            return Support(False, f"'{tensor.name}' holds a value for each pair of steps")
    compared = 0
    for case in cases:
        if len(case.chunks) < 2:
            continue
        whole = case.truth
        try:
            pieces = run_in_chunks(truth, stream, case.feeds, case.chunks)
        except InputError:
            lengths = ", ".join(map(str, case.chunks))
            return Support(False, f"the model does not run chunks of {lengths} steps")
        for name, value in pieces.items():
            if not same(value, whole[name], near):
                return Support(
                    False, f"'{name}' of the whole sequence differs from that of its chunks"
                )
        compared += 1
    if not compared and len(stream.time_symbols) > 1:
        lengths = ", ".join(stream.time_symbols)
        return Support(False, f"its inputs have different lengths ({lengths})")
    if not compared:
        return Support(False, UNTRIED)
    if _looks_far_back(truth, stream, near):
        return Support(False, f"a sequence of {LONG} steps differs from its chunks")
    precision = "float64" if near == SAME else "float32"
    return Support(
        True, f"measured in {precision} on {compared} sequences and on one of {LONG} steps"
    )


def _looks_far_back(truth: ReferenceRunner, stream: EntryPoint, near: float) -> bool:
    """Return whether a long sequence differs from its chunks: a layer looks back beyond the cases.

    If the recurrence is so sensitive that a state just above zero changes the end, rounding changes
    it too, and the test has no result.
    """
    if not all(map(is_drawable, stream.inputs)):
        return False
    sizes = sizes_of(stream, 2, LONG)
    feeds = draw(stream.inputs, sizes, np.random.default_rng(LONG))
    nudged = {
        state.tensor.name: np.full(
            [dim if isinstance(dim, int) else sizes[dim] for dim in state.tensor.shape], 1e-3 * near
        )
        for state in stream.states
    }
    try:
        whole = truth.run(feeds)
        pieces = run_in_chunks(truth, stream, feeds, (LONG // 3, 1, LONG - LONG // 3 - 1))
    except InputError:
        return False  # the model does not accept such a long sequence
    if all(same(value, whole[name], near) for name, value in pieces.items()):
        return False
    sensitive = truth.run(feeds | nudged)
    return all(same(sensitive[name], value, near) for name, value in whole.items())


def run_in_chunks(
    runs: ReferenceRunner, entry: EntryPoint, feeds: Mapping[str, Array], lengths: Sequence[int]
) -> dict[str, Array]:
    """Run `feeds` chunk by chunk and carry the states; return the outputs and final states."""
    carried = {s.tensor.name: feeds[s.tensor.name] for s in entry.states if s.tensor.name in feeds}
    pieces: list[dict[str, Array]] = []
    for piece in chunks.cut(entry, feeds, lengths):
        results = runs.run(piece | carried)
        carried = {state.tensor.name: results[state.next_name] for state in entry.states}
        pieces.append(results)
    last = pieces[-1]
    return chunks.joined(entry, pieces) | {s.next_name: last[s.next_name] for s in entry.states}


def _feeds(
    sequence: EntryPoint,
    stream: EntryPoint | None,
    samples: Mapping[str, Array] | None,
    rng: np.random.Generator,
    drawn: Draw | None,
) -> Iterator[tuple[str, dict[str, Array]]]:
    if samples is not None:
        yield SAMPLES, dict(samples)
    drawable = drawn or samples is None or all(map(is_drawable, sequence.inputs))
    if not drawable:
        return
    draws = drawn or _draw_masked
    widest = stream or sequence
    for batch, time in SHAPES if widest.time_symbols else FIXED_SHAPES:
        yield f"n{batch}t{time}", draws(widest.inputs, sizes_of(widest, batch, time), rng)
    if widest.inputs != sequence.inputs:
        for batch in (1, WIDE):
            yield f"n{batch}fixed", draws(sequence.inputs, sizes_of(sequence, batch, 7), rng)
    for batch, time in STATE_SHAPES if stream else ():
        sizes = sizes_of(widest, batch, time)
        states = draws([state.tensor for state in widest.states], sizes, rng)
        yield f"n{batch}t{time}state", draws(widest.inputs, sizes, rng) | states


def _draw_masked(
    tensors: Sequence[TensorSpec], sizes: Mapping[str, int], rng: np.random.Generator
) -> dict[str, Array]:
    """Return drawn values; in a wide or long batch every row has masked and unmasked steps."""
    if max(sizes.values(), default=0) < WIDE:
        return draw(tensors, sizes, rng)
    return ragged(tensors, unmasked(tensors, sizes, rng))


def _case(
    references: References,
    name: str,
    feeds: dict[str, Array],
    sequence: EntryPoint,
    stream: EntryPoint | None,
    rng: np.random.Generator,
) -> GoldenCase:
    entries = fitting(sequence, stream, feeds)
    if not entries:
        raise InputError(
            "E-EXPORT-SAMPLE-SHAPES",
            f"golden case '{name}': its shapes {_shapes(feeds)} fit no entry point; expected"
            f" {', '.join(map(str, sequence.inputs))}",
        )
    oracle: dict[str, Array] = {}
    alone = False
    if references.oracle is not None:
        oracle = references.oracle.run(feeds)
        few = 1 < batch_of(feeds) <= MOST_ROWS
        alone = few and why_coupled(references.oracle.run, feeds, oracle) is None
    lengths: tuple[int, ...] = ()
    if stream is not None and STREAM in entries and len(stream.time_symbols) == 1:
        lengths = random_lengths(chunks.length_of(stream, feeds), rng)
    reference = references.reference.run(feeds)
    return GoldenCase(name, entries, lengths, feeds, reference, oracle, rows_alone=alone)


def fitting(
    sequence: EntryPoint, stream: EntryPoint | None, feeds: Mapping[str, Array]
) -> tuple[str, ...]:
    """Return the names of the entry points that accept `feeds`."""
    return tuple(
        entry.name
        for entry in (sequence, stream)
        if entry is not None and _fits(entry, feeds, stateless=entry.name == SEQUENCE)
    )


def check_untouched(
    model: Any, reference: ReferenceRunner, case: GoldenCase, entry: EntryPoint, call: Any
) -> None:
    """Raise an error if the model, called as its user calls it, differs from the reference."""
    tensors = [case.feeds[tensor.name] for tensor in entry.inputs]
    for tensor, value in zip(entry.outputs, call(model, tensors), strict=True):
        plain, observed = np.asarray(value), case.reference[tensor.name]
        if plain.shape != observed.shape or not np.allclose(
            plain, observed, 1e-4, 1e-5, equal_nan=True
        ):
            raise RnnDeployError(
                "E-EXPORT-CHANGED-MODEL",
                f"output '{tensor.name}' of the model differs while its states are observed; check"
                " that the model returns the same at every call, and the same in a tf.function. If"
                " it does, this is a defect of rnn-deploy: please report it with the model",
            )


def _shapes(feeds: Mapping[str, Array]) -> str:
    return ", ".join(f"{name} {value.shape}" for name, value in feeds.items())


def _fits(entry: EntryPoint, feeds: Mapping[str, Array], *, stateless: bool) -> bool:
    names = {tensor.name for tensor in (entry.inputs if stateless else entry.all_inputs)}
    if not names >= set(feeds):
        return False
    if not all(tensor.admits(feeds[tensor.name].shape) for tensor in entry.inputs):
        return False
    pairs = {p for t in entry.inputs for p in zip(t.shape, feeds[t.name].shape, strict=True)}
    symbols = [dim for dim, _ in pairs if isinstance(dim, str)]
    return len(symbols) == len(set(symbols))


def random_lengths(total: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Return two to four random lengths whose sum is `total`, or `total` if it is 1."""
    if total == 1:
        return (1,)
    count = int(rng.integers(1, min(4, total)))
    cuts = np.sort(rng.choice(np.arange(1, total), size=count, replace=False))
    return tuple(int(n) for n in np.diff([0, *cuts, total]))


def sizes_of(entry: EntryPoint, batch: int, time: int) -> dict[str, int]:
    """Return a size for each symbol of an entry point."""
    symbols = {dim for tensor in entry.all_inputs for dim in tensor.shape if isinstance(dim, str)}
    times = {symbol: time + i for i, symbol in enumerate(entry.time_symbols)}
    return {symbol: times.get(symbol, batch if symbol == "batch" else 3) for symbol in symbols}
