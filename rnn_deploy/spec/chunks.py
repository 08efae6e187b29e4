"""Cut a sequence along time and join the pieces again (NumPy only).

Inputs are cut along the axis with the symbol of time. An output with that symbol is the
concatenation of its pieces; one without it (the last step's output) is the last piece.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.spec import Array, EntryPoint, TensorSpec


def length_of(entry: EntryPoint, feeds: Mapping[str, Array]) -> int:
    """Return the number of steps in `feeds`."""
    symbol = _symbol(entry)
    tensor = next(t for t in entry.inputs if symbol in t.shape)
    return int(feeds[tensor.name].shape[tensor.shape.index(symbol)])


def equal_lengths(total: int, chunk: int) -> list[int]:
    """Cut `total` steps into pieces of `chunk` steps; the last piece may be shorter."""
    return [min(chunk, total - start) for start in range(0, total, chunk)]


def cut(
    entry: EntryPoint, feeds: Mapping[str, Array], lengths: Sequence[int]
) -> Iterator[dict[str, Array]]:
    """Yield the inputs in `feeds` piece by piece, without initial states.

    Raises InputError if the sum of `lengths` is not the number of steps.
    """
    symbol, start, total = _symbol(entry), 0, length_of(entry, feeds)
    if sum(lengths) != total or any(length < 1 for length in lengths):
        raise InputError(
            "E-INPUT-CHUNK-LENGTHS",
            f"the chunk lengths {list(lengths)} must be positive and their sum {total}, the number"
            " of steps given",
        )
    for length in lengths:
        part = slice(start, start + length)
        yield {t.name: _part(t, symbol, feeds[t.name], part) for t in entry.inputs}
        start += length


def joined(entry: EntryPoint, pieces: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Join the outputs of all pieces to the outputs of the whole sequence."""
    symbol = _symbol(entry)
    return {
        tensor.name: (
            np.concatenate([p[tensor.name] for p in pieces], axis=tensor.shape.index(symbol))
            if symbol in tensor.shape
            else pieces[-1][tensor.name]
        )
        for tensor in entry.outputs
    }


def time_axes(entry: EntryPoint) -> dict[str, int]:
    """Return the time axis of each output over time; empty unless there is one open length."""
    if len(entry.time_symbols) != 1:
        return {}
    (symbol,) = entry.time_symbols
    return {t.name: t.shape.index(symbol) for t in entry.outputs if symbol in t.shape}


def at_steps(
    entry: EntryPoint, values: Mapping[str, Array], steps: Sequence[int]
) -> dict[str, Array]:
    """Return values by name; those over time only at the given steps."""
    axes = time_axes(entry)
    return {
        name: np.take(value, steps, axis=axes[name]) if name in axes else value
        for name, value in values.items()
    }


def _symbol(entry: EntryPoint) -> str:
    symbols = entry.time_symbols
    if len(symbols) != 1:
        why = "its time axis is fixed" if not symbols else "its inputs have different lengths"
        raise InputError(
            "E-INPUT-NO-CHUNKS",
            f"entry point '{entry.name}' cannot be cut into chunks: {why}; run whole sequences",
        )
    return symbols[0]


def _part(tensor: TensorSpec, symbol: str, value: Array, part: slice) -> Array:
    if symbol not in tensor.shape:
        return value
    axis = tensor.shape.index(symbol)
    return value[(slice(None),) * axis + (part,)]
