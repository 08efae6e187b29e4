"""Refuses what is no function of its inputs: it draws random numbers, or writes a variable.

Neither answers the same twice, so no reference could be taken of it. Layers that do so in training
alone (Dropout, BatchNormalization) are called for inference and stay as they are.
"""

from typing import Any

from rnn_deploy.errors import UnsupportedModelError

_RANDOM = ("Random", "StatelessRandom", "TruncatedNormal", "ParameterizedTruncated", "Multinomial")
_WRITES = ("AssignVariable", "AssignAddVariable", "AssignSubVariable", "ResourceScatter")


def refuse_impure(what: str, graph: Any) -> None:
    """UnsupportedModelError, beginning with `what`, where a traced graph does such a thing."""
    definition = graph.graph.as_graph_def()
    bodies = (function.node_def for function in definition.library.function)
    for node in (node for body in (definition.node, *bodies) for node in body):
        for kinds, does in ((_WRITES, "writes a variable"), (_RANDOM, "draws random numbers")):
            if node.op.startswith(kinds):
                raise UnsupportedModelError(
                    f"{what}: {node.name} {does} at every call, so no two answers would be the"
                    " same; call what is for training with training=False, or do this step outside"
                )
