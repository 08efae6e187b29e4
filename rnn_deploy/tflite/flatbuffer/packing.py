"""A TFLite model's object form as a file, each table that occurs again and again written once.

In a flatbuffer several tables may name one and the same table or vector. Most tensors of a step
that is written out are alike, and so are the options of its operators and the shapes of both.
"""

import copy
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np

IDENTIFIER = b"TFL3"
BUFFER_ALIGNMENT = 16


def packed(model: Any) -> bytes:
    """Return the file of an object form."""
    builder = _Builder(1 << 16)
    builder.Finish(_sharing(model).Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


@dataclass
class _SharedTables:
    """The place in the file of every table that is written, by what it says."""

    places: dict[Any, int] = field(default_factory=dict)

    def of(self, table: Any) -> "_UniqueTable | None":
        """What stands for the table where it is packed; an absent one stays absent."""
        return None if table is None else _UniqueTable(table, self.places)


@dataclass(frozen=True)
class _UniqueTable:
    """A table that is packed unless one that says the same has been."""

    table: Any
    places: dict[Any, int]

    def Pack(self, builder: Any) -> int:  # the name that the schema's own objects call
        said = _said(self.table)
        if said not in self.places:
            self.places[said] = self.table.Pack(builder)
        return self.places[said]


def _sharing(model: Any) -> Any:
    """Return the model with its tensors and its operators' options to be packed once."""
    shared = _SharedTables()
    sharing = copy.copy(model)
    sharing.subgraphs = [copy.copy(graph) for graph in model.subgraphs]
    for graph in sharing.subgraphs:
        graph.tensors = [shared.of(tensor) for tensor in graph.tensors]
        graph.operators = [copy.copy(operator) for operator in graph.operators]
        for operator in graph.operators:
            operator.builtinOptions = shared.of(operator.builtinOptions)
    return sharing


def _said(value: Any) -> Any:
    """Return all that a table says, to be compared."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tobytes()
    if isinstance(value, list):
        return tuple(map(_said, value))
    if hasattr(value, "Pack"):
        return type(value), *map(_said, vars(value).values())
    return value


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Writes equal vectors of numbers once; buffers, which are of bytes, begin at multiples of 16.

    (As the schema asks; the Python packer does not.)
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._vectors: dict[Any, int] = {}
        self._strings: dict[Any, int] = {}

    def CreateNumpyVector(self, x: Any) -> Any:
        if x.dtype == np.uint8:
            self.Prep(BUFFER_ALIGNMENT, x.nbytes)
            return super().CreateNumpyVector(x)
        said = _said(x)
        if said not in self._vectors:
            self._vectors[said] = super().CreateNumpyVector(x)
        return self._vectors[said]

    def CreateString(self, s: Any, *options: Any) -> Any:
        said = s if isinstance(s, bytes) else s.encode()
        if said not in self._strings:
            self._strings[said] = super().CreateString(s, *options)
        return self._strings[said]
