"""A source of sequences: one input file, cut into spans that are read one by one."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rnn_deploy.scoring.sequences import Sequences
from rnn_deploy.spec import Array

CHUNK = 32 * 2**20  # bytes of numbers that one process reads at a time
MOST_ROWS = 8192  # sequences that one process reads at a time
MIB = 2**20


@dataclass(frozen=True)
class Span:
    """A part of a file in the unit of its format: rows, sequences or bytes.

    first_row: the index of its first sequence in the file, if sequences have no keys.
    """

    start: int
    stop: int
    first_row: int = 0


@dataclass(frozen=True)
class Scan:
    """The spans of a file, its number of sequences, and a hash of each key (None without keys)."""

    spans: tuple[Span, ...]
    sequences: int
    hashes: Array | None = None


class Source(Protocol):
    """One input file."""

    @property
    def place(self) -> Path: ...

    def scan(self, target: int) -> Scan:
        """Return spans of about `target` bytes. No sequence crosses a boundary."""

    def key_arrays(self) -> Iterator[Any]:
        """Yield the keys of all sequences as Arrow arrays; yield nothing without keys."""

    def read(self, span: Span) -> Iterator[Sequences]:
        """Yield the sequences of a span, a chunk at a time."""


def hashes_of(keys: Any) -> Array:
    """Return a 64-bit number for each key of an Arrow array."""
    if str(keys.type) == "int64":
        return keys.fill_null(0).to_numpy(zero_copy_only=False)
    return np.fromiter(map(hash, keys.to_pylist()), np.int64, len(keys))


def joined(parts: list[Array]) -> Array:
    """Return the hashes of all parts."""
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def even_spans(count: int, size: int) -> tuple[Span, ...]:
    """Return spans of `size` sequences."""
    size = max(1, size)
    return tuple(Span(at, min(at + size, count), at) for at in range(0, count, size))
