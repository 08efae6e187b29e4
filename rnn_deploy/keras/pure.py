"""Refuse a model that is not a pure function: it draws random numbers or writes a variable.

Such a model returns something else in every call, so it has no reference. Layers that do so only in
training (Dropout, BatchNormalization) are called for inference and can be exported.
"""

from typing import Any

from rnn_deploy.errors import UnsupportedModelError

_RANDOM = ("Random", "StatelessRandom", "TruncatedNormal", "ParameterizedTruncated", "Multinomial")
_WRITES = ("AssignVariable", "AssignAddVariable", "AssignSubVariable", "ResourceScatter")
_FAULTS = (
    (_RANDOM, "E-MODEL-RANDOM", "draws random numbers"),  # first, because a seed is a variable
    (_WRITES, "E-MODEL-WRITES", "writes a variable"),
)


def refuse_impure(what: str, graph: Any) -> None:
    """Raise UnsupportedModelError, its message starting with `what`, for such a traced graph."""
    definition = graph.graph.as_graph_def()
    bodies = (function.node_def for function in definition.library.function)
    nodes = [node for body in (definition.node, *bodies) for node in body]
    for kinds, code, does in _FAULTS:
        for node in (node for node in nodes if node.op.startswith(kinds)):
            raise UnsupportedModelError(
                code,
                f"{what}: {node.name} {does} at every call, so two calls return different values;"
                " call layers that are meant for training with training=False, or do this step"
                " outside the model",
            )
