"""Masks of a list of inputs, which Keras does not write into the graph."""

import keras

from rnn_deploy.keras.access import nodes_in_order
from rnn_deploy.keras.implied_masks import implied_mask

L = keras.layers


def masks_by_layer(model):
    return {
        node.operation.name: implied_mask(node)
        for node in nodes_in_order(model)
        if not node.is_input
    }


def test_only_a_list_of_inputs_has_masks_that_the_graph_lacks():
    ids, z = keras.Input((None,), dtype="int32"), keras.Input((None, 4))
    x = L.Embedding(5, 4, mask_zero=True, name="embedding")(ids)
    y, state = L.GRU(4, return_sequences=True, return_state=True, name="gru")(x)
    w = L.GRU(4, return_sequences=True, name="started")(x, initial_state=state)
    look = L.Attention(name="look")([z, y])
    other = L.Attention(name="given")([z, y], mask=[None, None])
    plain = L.Attention(name="plain")([z, z])
    model = keras.Model([ids, z], [look, other, plain, w])
    found = masks_by_layer(model)
    query, values = found.pop("look")
    assert query is None
    assert values.shape == (None, None)
    assert set(found) >= {"gru", "started", "given", "plain"}
    assert not {name: mask for name, mask in found.items() if mask is not None and name != "given"}
