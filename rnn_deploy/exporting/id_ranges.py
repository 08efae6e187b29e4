"""The ranges of token ids that a SavedModel takes: the row counts of its lookup tables.

The layers of a SavedModel cannot be read, so the graph is searched from each lookup to its input.
"""

from collections.abc import Iterator
from typing import Any

from rnn_deploy.keras.compat import convert_variables_to_constants

_LOOKUPS = ("GatherV2", "Gather", "ResourceGather")
_SAME_VALUES = (
    *("Identity", "Cast", "Reshape", "ExpandDims", "Squeeze", "StridedSlice", "Transpose"),
    *("ConcatV2", "Pack", "Slice", "Tile", "GatherV2"),
)


def id_ranges(function: Any) -> dict[str, int]:
    """Return the number of ids that each input with ids may have, by the input's name."""
    graph = convert_variables_to_constants(function, lower_control_flow=False).graph
    found: dict[str, int] = {}
    for operation in graph.get_operations():
        if operation.type in _LOOKUPS and _is_constant(operation.inputs[0]):
            rows = operation.inputs[0].shape[:1].as_list()
            for name in _sources(operation.inputs[1].op) if rows and rows[0] else ():
                found[name] = min(rows[0], found.get(name, rows[0]))
    return found


def _is_constant(tensor: Any) -> bool:
    operation = tensor.op
    while operation.type in ("Identity", "ReadVariableOp"):
        operation = operation.inputs[0].op
    return bool(operation.type == "Const")


def _sources(operation: Any) -> Iterator[str]:
    """Yield the names of the inputs whose values reach an operation unchanged."""
    if operation.type == "Placeholder":
        yield operation.name
    elif operation.type in _SAME_VALUES:
        several = operation.type in ("ConcatV2", "Pack")
        for tensor in operation.inputs if several else operation.inputs[:1]:
            yield from _sources(tensor.op)
