"""The C statements of attention: one query over all steps of another sequence."""

import numpy as np

from rnn_deploy.c.ir import AttentionNode
from rnn_deploy.c.place import Lines, Place, number


def attention_statements(node: AttentionNode, place: Place) -> Lines:
    """Return statements for the scores, a softmax over them, and the weighted mean of values."""
    _, value, _ = node.inputs[:3]
    y, scores = place.ref(node.y), place.ref(node.outputs[1])
    steps = place.steps(value)
    lines = _scores(node, place, scores, steps)
    if node.value_mask is not None:
        lines.append(
            f"{place.use('mask_scores')}({scores}, {place.whole(node.value_mask)}, {steps});"
        )
    product = place.use("product")
    lines += [
        f"{place.use('softmax')}({scores}, {steps});",
        f"memset({y}, 0, {value.size} * sizeof(float));",
        f"{product}({place.whole(value)}, {scores}, {steps}, {value.size}, {y});",
    ]
    if node.query_mask is not None:
        cleared = f"memset({y}, 0, {value.size} * sizeof(float));"
        lines += [f"if (!{place.mask(node.query_mask)}) {{", f"    {cleared}", "}"]
    return lines


def _scores(node: AttentionNode, place: Place, scores: str, steps: str) -> Lines:
    query, _, key = node.inputs[:3]
    given = f"{place.ref(query)}, {place.whole(key)}, {steps}, {query.size}"
    if node.kind == "dot":
        factor = number(1.0 if node.scale is None else float(node.scale[0]))
        return [f"{place.use('scores_dot')}({given}, {factor}, {scores});"]
    each, inner = "NULL", number(1.0)
    if node.scale is not None and node.kind == "additive":
        each = place.weights.add(f"{node.layer}_scale", np.ravel(node.scale))
    elif node.scale is not None:
        inner = number(float(node.scale[0]))
    a, function = place.scratch(query.size), place.use("scores_tanh")
    return [f"{function}({given}, {each}, {inner}, {number(node.weight)}, {a}, {scores});"]
