"""Refuses operators that give as many values as the data say: no shape can be promised of them.

Runtimes differ in such operators (OpenVINO sorts what `unique` finds), and an entry point names
its outputs' dimensions.
"""

from typing import Any

from rnn_deploy.errors import UnsupportedModelError

_OPERATORS = (
    *("Where", "Unique", "UniqueV2", "UniqueWithCounts", "UniqueWithCountsV2", "ListDiff"),
    *("DynamicPartition", "NonMaxSuppressionV3", "NonMaxSuppressionV4", "NonMaxSuppressionV5"),
)


def refuse_data_dependent(model: Any, graph: Any) -> None:
    """UnsupportedModelError where `graph`, traced from `model`, holds such an operator."""
    definition = graph.graph.as_graph_def()
    bodies = (function.node_def for function in definition.library.function)
    nodes = [node for body in (definition.node, *bodies) for node in body]
    found = [f"{node.op} (at {node.name})" for node in nodes if node.op in _OPERATORS]
    if found:
        raise UnsupportedModelError(
            f"model '{model.name}': how many values {', '.join(found)} gives depends on the data,"
            " which is not exported; keep all of them and mask, or do this step outside"
        )
