"""Real inputs by which a quantised model is calibrated and its cost measured.

    arrays by input name --checked--> cases (batches, run by the reference and the oracle)
                                        --feeds_by_entry--> what the quantiser runs
                                        --draws_from--> golden vectors like the real inputs

Golden vectors of a calibrated model are drawn from these, states from those the reference ended
in: int8 is right only within the ranges it was calibrated on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.errors import InputError
from rnn_deploy.references.golden import Draw, References
from rnn_deploy.spec import SEQUENCE, STEP, STREAM, Array, EntryPoint, TensorSpec
from rnn_deploy.tflite.loop import LONGEST_CHUNK

BATCH = 64
MOST_STEPS = 64
# Several blocks of several chunks, the last of each short.
LONG = 20 * LONGEST_CHUNK + 1
Feeds = dict[str, list[dict[str, Array]]]


def checked(option: str, data: Mapping[str, Array], entry: EntryPoint) -> Mapping[str, Array]:
    """`data` if it fits the inputs of `entry`; InputError, beginning with the option, if not."""
    wanted = {tensor.name: tensor for tensor in entry.inputs}
    if set(data) != set(wanted):
        raise InputError(
            f"{option} holds {sorted(data)}, the model's inputs are {sorted(wanted)};"
            " give one array for each input, named like it"
        )
    for name, value in data.items():
        tensor = wanted[name]
        if not tensor.admits(value.shape) or str(value.dtype) != tensor.dtype or 0 in value.shape:
            raise InputError(
                f"{option}: '{name}' is {value.dtype}{value.shape}, the model takes {tensor}"
            )
    return data


def any_number_of(entry: EntryPoint) -> EntryPoint:
    """The entry point with its batch open: calibration data are cut into its batches."""
    inputs = (replace(t, shape=("batch", *t.shape[1:])) for t in entry.inputs)
    return replace(entry, inputs=tuple(inputs))


def calibration_cases(
    data: Mapping[str, Array], references: References, entries: Sequence[EntryPoint]
) -> list[GoldenCase]:
    """The calibration data in batches, each with what the references make of it.

    InputError when arrays differ in their number of sequences, hold NaN or infinities, or when
    there are fewer sequences than the model's fixed batch.
    """
    rows = {name: len(value) for name, value in data.items()}
    if len(set(rows.values())) > 1:
        raise InputError(f"--calibration: as many sequences for each input, not {rows}")
    unfit = [n for n, v in data.items() if v.dtype.kind == "f" and not np.isfinite(v).all()]
    if unfit:
        raise InputError(f"--calibration: '{unfit[0]}' holds NaN or infinities; leave them out")
    names = tuple(entry.name for entry in entries)
    cases = []
    for number, feeds in enumerate(_batches(data, entries[0])):
        oracle = references.oracle.run(feeds) if references.oracle else {}
        reference = references.reference.run(feeds)
        cases.append(GoldenCase(f"calibration{number}", names, (), feeds, reference, oracle))
    if not cases:
        raise InputError("--calibration: has fewer sequences than the model's fixed batch")
    return cases


def feeds_by_entry(
    cases: Sequence[GoldenCase], entries: Sequence[EntryPoint], references: References
) -> Feeds:
    """What to run each entry point on to see its tensors' ranges.

    A stream begins from zero states, and from those it ended in; a step is run where the
    sequences pass through it. Some go round again and again, to reach every part of a loop and
    what states grow to.
    """
    runs = {SEQUENCE: _whole, STREAM: _from_states, STEP: _steps}
    feeds = {
        entry.name: [feeds for case in cases for feeds in runs[entry.name](case, entry, references)]
        for entry in entries
    }
    for entry in entries:
        if cases and entry.time_symbols:
            feeds[entry.name].append(_long(cases[0], entry))
    return feeds


def draws_from(cases: Sequence[GoldenCase], stream: EntryPoint | None) -> Draw:
    """Draws like `samples.draw`, from the rows of `cases`: inputs of their steps, real states.

    A piece longer than a row goes round it again.
    """
    pool = {name: np.concatenate([case.feeds[name] for case in cases]) for name in cases[0].feeds}
    pool |= {
        state.tensor.name: np.concatenate([case.reference[state.next_name] for case in cases])
        for state in (stream.states if stream else ())
    }

    def draw(
        tensors: Sequence[TensorSpec], sizes: Mapping[str, int], rng: np.random.Generator
    ) -> dict[str, Array]:
        first = tensors[0].shape[0]
        batch = sizes[first] if isinstance(first, str) else first
        rows = rng.integers(0, len(next(iter(pool.values()))), batch)
        starts = {symbol: int(rng.integers(0, 1 << 16)) for symbol in sizes}
        return {t.name: _piece(t, pool[t.name][rows], sizes, starts) for t in tensors}

    return draw


def _batches(data: Mapping[str, Array], entry: EntryPoint) -> Iterator[dict[str, Array]]:
    fixed = entry.inputs[0].shape[0]
    total, size = len(next(iter(data.values()))), fixed if isinstance(fixed, int) else BATCH
    for start in range(0, total, size):
        piece = {name: value[start : start + size] for name, value in data.items()}
        if not isinstance(fixed, int) or start + size <= total:
            yield piece


def _whole(
    case: GoldenCase, entry: EntryPoint, references: References
) -> Iterator[dict[str, Array]]:
    yield dict(case.feeds)


def _from_states(
    case: GoldenCase, entry: EntryPoint, references: References
) -> Iterator[dict[str, Array]]:
    finals = {s.tensor.name: case.reference[s.next_name] for s in entry.states}
    yield {**case.feeds, **{name: np.zeros_like(value) for name, value in finals.items()}}
    yield {**case.feeds, **finals}


def _steps(
    case: GoldenCase, entry: EntryPoint, references: References
) -> Iterator[dict[str, Array]]:
    """The sequence step by step; `entry` has the lengths of one step."""
    carried = {s.tensor.name: np.zeros_like(case.reference[s.next_name]) for s in entry.states}
    lengths = {v.shape[1] for t in entry.inputs if _is_step(t) for v in [case.feeds[t.name]]}
    for t in range(min(min(lengths), MOST_STEPS)):
        feeds = carried | {
            tensor.name: case.feeds[tensor.name][:, t : t + 1]
            if _is_step(tensor)
            else case.feeds[tensor.name]
            for tensor in entry.inputs
        }
        yield feeds
        results = references.reference.run(feeds)
        carried = {state.tensor.name: results[state.next_name] for state in entry.states}


def _long(case: GoldenCase, entry: EntryPoint) -> dict[str, Array]:
    states = {s.tensor.name: case.reference[s.next_name] for s in entry.states}
    feeds = {t.name: _lengthened(case.feeds[t.name], t, entry.time_symbols) for t in entry.inputs}
    return feeds | {name: np.zeros_like(value) for name, value in states.items()}


def _lengthened(value: Array, tensor: TensorSpec, symbols: Sequence[str]) -> Array:
    for axis, dim in enumerate(tensor.shape):
        if dim in symbols:
            value = np.take(value, np.arange(LONG) % value.shape[axis], axis)
    return value


def _is_step(tensor: TensorSpec) -> bool:
    return len(tensor.shape) > 1 and tensor.shape[1] == 1


def _piece(
    tensor: TensorSpec, value: Array, sizes: Mapping[str, int], starts: Mapping[str, int]
) -> Array:
    for axis, dim in enumerate(tensor.shape):
        if axis and isinstance(dim, str):
            places = (starts[dim] + np.arange(sizes[dim])) % value.shape[axis]
            value = np.take(value, places, axis)
    return value.astype(tensor.dtype)
