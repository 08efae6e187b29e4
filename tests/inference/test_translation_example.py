"""Character-level translation as people split it by hand: two models, and a loop over both."""

import keras
import numpy as np
import pytest
from keras import layers

import rnn_deploy
from tests.support.models import randomised

LETTERS, OUTPUTS, UNITS = 7, 6, 8
START, END, MOST = 1, 2, 12


def trained():
    """One-hot letters, an LSTM that gives its states to another, and the next letter."""
    source = keras.Input((None, LETTERS), name="source")
    target = keras.Input((None, OUTPUTS), name="target")
    _, *states = layers.LSTM(UNITS, return_state=True, name="encoder")(source)
    decoder = layers.LSTM(UNITS, return_sequences=True, return_state=True, name="decoder")
    y, _, _ = decoder(target, initial_state=states)
    y = layers.Dense(OUTPUTS, activation="softmax", name="next")(y)
    return randomised(keras.Model([source, target], y, name="translator"), 3, 1.2)


def split_by_hand(model):
    """The encoder's model and the decoder's model, of the same layers."""
    source, target = model.inputs
    encoder = keras.Model(source, model.get_layer("encoder").output[1:])
    states = [keras.Input((UNITS,)) for _ in range(2)]
    y, *after = model.get_layer("decoder")(target, initial_state=states)
    return encoder, keras.Model([target, *states], [model.get_layer("next")(y), *after])


def translated_by_hand(encoder, decoder, source):
    states = encoder(source[None])
    token, found = START, []
    while len(found) < MOST:
        given = np.eye(OUTPUTS, dtype=np.float32)[np.array([[token]])]
        y, *states = decoder([keras.ops.convert_to_tensor(given), *states])
        token = int(np.argmax(y[0, -1]))
        if token == END:
            return found, True
        found.append(token)
    return found, False


@pytest.fixture(scope="module")
def model():
    return trained()


@pytest.fixture(scope="module")
def bundle(model, tmp_path_factory):
    return rnn_deploy.export(model, tmp_path_factory.mktemp("translator") / "b", long=0)


@pytest.mark.parametrize("runtime", ["ort-cpu", "litert"])
def test_generate_equals_the_split_by_hand(model, bundle, runtime):
    rng = np.random.default_rng(5)
    ids = [rng.integers(0, LETTERS, length) for length in (2, 5, 3, 9, 1, 4)]
    sources = [np.eye(LETTERS, dtype=np.float32)[row] for row in ids]
    halves = split_by_hand(model)
    wanted = [translated_by_hand(*halves, source) for source in sources]
    assert len({tuple(found) for found, _ in wanted}) > 2
    with rnn_deploy.load(bundle, runtime) as loaded:
        found = loaded.generate(sources, start=START, end=END, max_steps=MOST)
    assert [(list(each.ids), each.ended) for each in found] == wanted
