from rnn_deploy.c.blocks import Use, blocks, source_of
from rnn_deploy.numerics.cells import ACTIVATIONS


def test_what_a_block_needs_comes_before_it():
    text = source_of({Use("gru", "mish", "sigmoid")})
    order = [
        text.index(f"model_{name}(")
        for name in ("exp_parts", "tanh", "softplus", "mish", "gru_mish_sigmoid")
    ]
    assert order == sorted(order)


def test_nothing_else_is_written():
    text = source_of({Use("map", "relu")})
    assert "model_map_relu" in text
    assert "tanh" not in text
    assert "product" not in text


def test_every_need_is_a_block():
    names = {block.name for block in blocks()}
    assert {need for block in blocks() for need in block.needs} <= names
    assert set(ACTIVATIONS) <= names
