"""The gated model: exported once, as a fake runtime, and as an opened Keras model."""

import numpy as np
import pytest

from tests.support.gated import Gated, gated_model


@pytest.fixture(scope="session")
def gated_keras(tmp_path_factory):
    """The gated model, saved: the path of a .keras file."""
    place = tmp_path_factory.mktemp("gated") / "gated.keras"
    gated_model().save(place)
    return place


@pytest.fixture(scope="session")
def gated_bundle(tmp_path_factory, gated_keras):
    """A bundle of the gated model; no test may change it."""
    from rnn_deploy import export

    return export(gated_keras, tmp_path_factory.mktemp("gated") / "bundle", long=300)


@pytest.fixture(scope="session")
def gated_at_hand(gated_keras, gated_bundle):
    """The opened Keras model: oracle, recurrent calls, every layer's outputs."""
    from rnn_deploy.cli.reference_model import open_reference
    from rnn_deploy.spec.opening import Opening

    return open_reference(gated_bundle, gated_keras, 1, Opening(), lambda step: None)


@pytest.fixture(scope="session")
def gated(gated_at_hand):
    """The gated model as a fake runtime that is right."""
    runs = gated_at_hand.original.recurrent_calls({"x": np.ones((1, 1, 3), np.float32)})
    gru, lstm = (run.layers[0] for run in runs)
    dense = gated_model().get_layer("y").get_weights()
    return Gated(gru, lstm, tuple(weight.astype(np.float64) for weight in dense))
