"""Sequences of different lengths with a key each, and the faults of single sequences."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnn_deploy.errors import RnnDeployError, one_line
from rnn_deploy.spec import Array

Values = "Ragged | list[Any]"  # a list: texts, which preprocessing converts to numbers


@dataclass(frozen=True)
class Fault:
    """The reason why a sequence or a shard has no result."""

    code: str
    reason: str

    @classmethod
    def of(cls, error: RnnDeployError) -> "Fault":
        """Return the code and the message of an error as a fault."""
        return cls(error.code, one_line(error))

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths: row i is values[offsets[i]:offsets[i + 1]]."""

    values: Array
    offsets: Any

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Any:
        """Return the number of steps of each row."""
        return np.diff(self.offsets)

    def row(self, index: int) -> Array:
        """Return a row, a view of the values."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def row_of(self, steps: Array) -> Array:
        """Return the row of each step; a step is an index into `values`."""
        return np.searchsorted(self.offsets, steps, side="right") - 1


@dataclass(frozen=True)
class Sequences:
    """Sequences that were read, one per row.

    keys: an Arrow array, one key per row. feeds: by input name, as users supply them. faults: by
    row; the feeds of such a row are meaningless.
    """

    keys: Any
    feeds: Mapping[str, "Ragged | list[Any]"]
    faults: dict[int, Fault] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)


def uniform(array: Array) -> Ragged:
    """Return the rows of an array (rows, steps, ...) as ragged values."""
    rows, *rest = array.shape
    if not rest:
        return Ragged(array, np.arange(rows + 1))
    return Ragged(array.reshape(rows * rest[0], *rest[1:]), np.arange(rows + 1) * rest[0])
