"""Write a TFLite model's object form as a file, with equal tables only once.

In a flatbuffer several tables may refer to the same table or vector. Most tensors of unrolled steps
are equal, and so are the options of operators and the shapes of both.
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
    """The position in the file of every written table, by its content."""

    places: dict[Any, int] = field(default_factory=dict)

    def of(self, table: Any) -> "_UniqueTable | None":
        """Return an object that packs the table once; None for an absent table."""
        return None if table is None else _UniqueTable(table, self.places)


@dataclass(frozen=True)
class _UniqueTable:
    """A table that is packed unless a table with the same content has been."""

    table: Any
    places: dict[Any, int]

    def Pack(self, builder: Any) -> int:  # the name that the schema's own objects call
        content = _content(self.table)
        if content not in self.places:
            self.places[content] = self.table.Pack(builder)
        return self.places[content]


def _sharing(model: Any) -> Any:
    """Change the model so that equal tensors and options of operators are packed once."""
    shared = _SharedTables()
    sharing = copy.copy(model)
    sharing.subgraphs = [copy.copy(graph) for graph in model.subgraphs]
    for graph in sharing.subgraphs:
        graph.tensors = [shared.of(tensor) for tensor in graph.tensors]
        graph.operators = [copy.copy(operator) for operator in graph.operators]
        for operator in graph.operators:
            operator.builtinOptions = shared.of(operator.builtinOptions)
    return sharing


def _content(value: Any) -> Any:
    """Return the whole content of a table, for comparisons."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tobytes()
    if isinstance(value, list):
        return tuple(map(_content, value))
    if hasattr(value, "Pack"):
        return type(value), *map(_content, vars(value).values())
    return value


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Writes equal vectors of numbers once, and aligns buffers (vectors of bytes) to 16 bytes.

    The schema requires the alignment, but the Python packer ignores it.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._vectors: dict[Any, int] = {}
        self._strings: dict[Any, int] = {}

    def CreateNumpyVector(self, x: Any) -> Any:
        if x.dtype == np.uint8:
            self.Prep(BUFFER_ALIGNMENT, x.nbytes)
            return super().CreateNumpyVector(x)
        content = _content(x)
        if content not in self._vectors:
            self._vectors[content] = super().CreateNumpyVector(x)
        return self._vectors[content]

    def CreateString(self, s: Any, *options: Any) -> Any:
        content = s if isinstance(s, bytes) else s.encode()
        if content not in self._strings:
            self._strings[content] = super().CreateString(s, *options)
        return self._strings[content]
