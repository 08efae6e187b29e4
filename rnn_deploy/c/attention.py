"""Keras' Attention and AdditiveAttention as nodes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnn_deploy.c.ir import AttentionNode, StoredMaskNode, Value
from rnn_deploy.c.layers import Reader, array, same_value
from rnn_deploy.c.refusal import Graph, NotInCError, OpCall, float_value
from rnn_deploy.keras.tensorflow import keras

CONCAT, ADDITIVE = "concat", "additive"


def _attention(call: OpCall, graph: Graph) -> Sequence[Any]:
    layer = call.op
    query, value, key = _sequences(call)
    if call.given(4, "use_causal_mask"):
        raise NotInCError("is attention with a causal mask")
    additive = isinstance(layer, keras.layers.AdditiveAttention)
    weight = getattr(layer, "concat_score_weight", None)
    query_mask, value_mask = _masks(call, graph)
    context = same_value(call, value.size, query.time)
    scores = Value(f"{call.name}_scores", 1, query.time, over=value.time)
    graph.add(
        AttentionNode(
            layer=call.name,
            inputs=(query, value, key, *(m for m in (query_mask, value_mask) if m is not None)),
            outputs=(context, scores),
            kind=ADDITIVE if additive else layer.score_mode,
            scale=None if layer.scale is None else array(layer.scale).reshape(-1),
            weight=1.0 if weight is None else float(np.asarray(weight)),
            query_mask=query_mask,
            value_mask=value_mask,
        )
    )
    with_scores = call.given(3, "return_attention_scores")
    return (context, scores) if with_scores else (context,)


def _sequences(call: OpCall) -> tuple[Value, Value, Value]:
    given = [float_value(each) for each in call.args[0]]
    query, value, key = (*given, given[1])[:3]
    if query.time is None or value.time is None or key.time is None:
        raise NotInCError("is attention over what has no time")
    if key.time != value.time:
        raise NotInCError("is attention whose keys and values differ in length")
    if query.size != key.size:
        raise NotInCError(f"compares queries of size {query.size} with keys of size {key.size}")
    return query, value, key


def _masks(call: OpCall, graph: Graph) -> tuple[Value | None, Value | None]:
    """Return the masks of query and value; the second is kept for every step."""
    given = call.given(1, "mask") or (None, None)
    query, value = (None if mask is True else mask for mask in given[:2])
    if any(not _is_mask(mask) for mask in (query, value)):
        raise NotInCError("has a mask that does not come from the model, or that masks every step")
    return query, None if value is None else stored_mask(value, graph)


def _is_mask(mask: Any) -> bool:
    return mask is None or (isinstance(mask, Value) and mask.dtype == "bool")


def stored_mask(mask: Value, graph: Graph) -> Value:
    """Return a mask kept for every step: an input is already."""
    if id(mask) not in graph.stored:
        node = stored_mask_node(mask, mask.name)
        graph.stored[id(mask)] = graph.add(node)[0]
    return graph.stored[id(mask)]


def stored_mask_node(mask: Value, layer: str) -> StoredMaskNode:
    """Return the node that keeps a mask for every step."""
    output = Value(f"{mask.name}_steps", 1, mask.time, "bool")
    return StoredMaskNode(layer=layer, inputs=(mask,), outputs=(output,))


ATTENTION: dict[Any, Reader] = {
    keras.layers.Attention: _attention,
    keras.layers.AdditiveAttention: _attention,
}
