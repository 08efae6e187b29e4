"""Which inputs must be equally long."""

import keras
import pytest

from rnn_deploy.keras.lengths import with_tied_lengths
from rnn_deploy.keras.signature import signature_of

layers = keras.layers


def symbols(groups):
    """The time symbols found for a model whose inputs are concatenated group by group."""
    inputs = [[keras.Input((None, 2), name=name) for name in group] for group in groups]
    outputs = [
        layers.GRU(2)(layers.Concatenate()(group) if len(group) > 1 else group[0])
        for group in inputs
    ]
    model = keras.Model([tensor for group in inputs for tensor in group], outputs)
    signature = with_tied_lengths(model, signature_of(model))
    return {tensor.name: tensor.shape[1] for tensor in signature.inputs}


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (("a",), {"a": "time"}),
        (("a", "b"), {"a": "a_time", "b": "b_time"}),
        (("ab",), {"a": "time", "b": "time"}),
        (("ab", "c"), {"a": "a_time", "b": "a_time", "c": "c_time"}),
        (("ab", "cd"), {"a": "a_time", "b": "a_time", "c": "c_time", "d": "c_time"}),
        (("abc", "d"), {"a": "a_time", "b": "a_time", "c": "a_time", "d": "d_time"}),
    ],
)
def test_tied_inputs_share_a_symbol_and_no_others(groups, expected):
    assert symbols(groups) == expected
