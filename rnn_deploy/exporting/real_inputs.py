"""Real inputs that the user gives: --samples, --calibration and --evaluate.

    arrays by input name --checked--> the same arrays, if they fit the model's inputs
      --calibration_cases--> cases (batches, run by the reference and the oracle)
        --draws_from--> golden vectors that resemble the real inputs

Golden vectors of a calibrated model are drawn from its calibration data, and states from the final
states of the reference: int8 is correct only within its calibrated ranges.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.errors import InputError
from rnn_deploy.references.golden import Draw, References
from rnn_deploy.spec import Array, EntryPoint, TensorSpec

BATCH = 64


def checked(option: str, data: Mapping[str, Array], entry: EntryPoint) -> Mapping[str, Array]:
    """Return `data` if it fits the inputs of `entry`; else raise InputError with the option."""
    wanted = {tensor.name: tensor for tensor in entry.inputs}
    if set(data) != set(wanted):
        raise InputError(
            "E-INPUT-UNKNOWN" if set(data) - set(wanted) else "E-INPUT-MISSING",
            f"{option} holds {sorted(data)}, the model's inputs are {sorted(wanted)};"
            " give one array for each input, named like it",
        )
    for name, value in data.items():
        tensor = wanted[name]
        if not tensor.admits(value.shape) or str(value.dtype) != tensor.dtype or 0 in value.shape:
            raise InputError(
                "E-INPUT-SHAPE" if str(value.dtype) == tensor.dtype else "E-INPUT-DTYPE",
                f"{option}: '{name}' is {value.dtype}{value.shape}, the model takes {tensor}",
            )
    return data


def any_number_of(entry: EntryPoint) -> EntryPoint:
    """Return the entry point with its batch open, since calibration data are cut into batches."""
    inputs = (replace(t, shape=("batch", *t.shape[1:])) for t in entry.inputs)
    return replace(entry, inputs=tuple(inputs))


def calibration_cases(
    data: Mapping[str, Array],
    references: References,
    entries: Sequence[EntryPoint],
    option: str = "--calibration",
) -> list[GoldenCase]:
    """Return the data of an option in batches, each with the results of the references.

    Raise InputError if arrays differ in their number of sequences, hold NaN or infinities, or if
    there are fewer sequences than the model's fixed batch.
    """
    rows = {name: len(value) for name, value in data.items()}
    if len(set(rows.values())) > 1:
        raise InputError(
            "E-INPUT-ROWS", f"{option}: expected as many sequences for each input, got {rows}"
        )
    unfit = [n for n, v in data.items() if v.dtype.kind == "f" and not np.isfinite(v).all()]
    if unfit:
        raise InputError(
            "E-INPUT-NOT-FINITE",
            f"{option}: '{unfit[0]}' holds NaN or infinities; remove those sequences",
        )
    names = tuple(entry.name for entry in entries)
    cases = []
    for number, feeds in enumerate(_batches(data, entries[0])):
        oracle = references.oracle.run(feeds) if references.oracle else {}
        reference = references.reference.run(feeds)
        cases.append(GoldenCase(f"{option[2:]}{number}", names, (), feeds, reference, oracle))
    if not cases:
        raise InputError(
            "E-INPUT-ROWS",
            f"{option}: {max(rows.values())} sequences are fewer than the model's fixed batch",
        )
    return cases


def draws_from(cases: Sequence[GoldenCase], stream: EntryPoint | None) -> Draw:
    """Return a function like `samples.draw` that takes inputs and states from the rows of `cases`.

    A piece longer than a row repeats the row.
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


def _piece(
    tensor: TensorSpec, value: Array, sizes: Mapping[str, int], starts: Mapping[str, int]
) -> Array:
    for axis, dim in enumerate(tensor.shape):
        if axis and isinstance(dim, str):
            places = (starts[dim] + np.arange(sizes[dim])) % value.shape[axis]
            value = np.take(value, places, axis)
    return value.astype(tensor.dtype)
