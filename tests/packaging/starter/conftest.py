"""Bundles for starter programs, each exported once."""

import pytest

from rnn_deploy import export
from rnn_deploy.bundle import open_bundle
from tests.support.models import randomised


def several_model():
    """Two inputs, two outputs, LSTM and GRU states; names that are no identifiers."""
    import keras

    numbers = keras.Input((None, 3), name="class")
    ids = keras.Input((None,), dtype="int32", name="ids-1")
    embedded = keras.layers.Embedding(7, 4, name="embedding")(ids)
    x = keras.layers.Concatenate(name="both")([numbers, embedded])
    x = keras.layers.LSTM(6, return_sequences=True, name="first")(x)
    x, last = keras.layers.GRU(5, return_sequences=True, return_state=True, name="second")(x)
    outputs = [keras.layers.Dense(2, name="y")(x), keras.layers.Dense(1, name="zip")(last)]
    return randomised(keras.Model([numbers, ids], outputs, name="several"))


def backwards_model():
    """A model that needs whole sequences."""
    import keras

    x = inputs = keras.Input((None, 3), name="x")
    cell = keras.layers.SimpleRNN(4, return_sequences=True, name="rnn")
    x = keras.layers.Bidirectional(cell, name="both")(x)
    return randomised(
        keras.Model(inputs, keras.layers.Dense(2, name="y")(x), name="backwards_model")
    )


@pytest.fixture(scope="session")
def several(tmp_path_factory):
    return open_bundle(
        export(several_model(), tmp_path_factory.mktemp("starter") / "b", long=0).root
    )


@pytest.fixture(scope="session")
def backwards(tmp_path_factory):
    place = tmp_path_factory.mktemp("starter") / "b"
    return open_bundle(export(backwards_model(), place, long=0).root)


@pytest.fixture(scope="session")
def streaming(_small_bundle):
    return open_bundle(_small_bundle)


@pytest.fixture(scope="session")
def tokens(_token_bundle):
    return open_bundle(_token_bundle)
