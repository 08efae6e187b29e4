"""Refuse operators whose output shape depends on values, since an entry point has fixed dimensions.

Runtimes also disagree on such operators (OpenVINO sorts the result of `unique`).
"""

from typing import Any

from rnn_deploy.errors import UnsupportedModelError

_OPERATORS = (
    *("Where", "Unique", "UniqueV2", "UniqueWithCounts", "UniqueWithCountsV2", "ListDiff"),
    *("DynamicPartition", "NonMaxSuppressionV3", "NonMaxSuppressionV4", "NonMaxSuppressionV5"),
)


def refuse_data_dependent(model: Any, graph: Any) -> None:
    """Raise UnsupportedModelError if `graph`, traced from `model`, contains such an operator."""
    definition = graph.graph.as_graph_def()
    bodies = (function.node_def for function in definition.library.function)
    nodes = [node for body in (definition.node, *bodies) for node in body]
    found = [f"{node.op} (at {node.name})" for node in nodes if node.op in _OPERATORS]
    if found:
        raise UnsupportedModelError(
            "E-MODEL-DATA-DEPENDENT",
            f"model '{model.name}': the number of values that {', '.join(found)} returns depends on"
            " the data, and every output needs a known shape; keep all values and mask them, or do"
            " this step outside the model",
        )
