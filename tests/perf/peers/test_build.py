"""Peers: each exports the same model by itself, and what it exports answers the same."""

import numpy as np
import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.inference.model import load
from rnn_deploy.perf.bench.feeds import feeds_of
from rnn_deploy.perf.bench.opening import open_contender
from rnn_deploy.perf.peers import build as module
from rnn_deploy.perf.peers.build import PEERS, build
from rnn_deploy.perf.peers.model import PeerModel, model_of
from rnn_deploy.spec.shapes import Shape
from tests.support.models import randomised

SHAPE = Shape(2, 4)


@pytest.fixture(scope="module")
def two_in_two_out(tmp_path_factory):
    """A bundle of a model whose inputs and outputs a peer could mix up, and the model."""
    import keras

    from rnn_deploy import export

    b, a = keras.Input((None, 3), name="b"), keras.Input((None, 3), name="a")
    first = keras.layers.SimpleRNN(4, return_sequences=True, name="r")(b)
    second = keras.layers.GRU(4, name="g")(a)
    y, z = keras.layers.Dense(2, name="y")(first), keras.layers.Dense(2, name="z")(second)
    model = randomised(keras.Model([b, a], [z, y], name="two"), 3)
    place = tmp_path_factory.mktemp("peers")
    model.save(place / "two.keras")
    return export(model, place / "two", to=("onnx",)), place / "two.keras"


@pytest.fixture(scope="module")
def built(two_in_two_out, tmp_path_factory):
    bundle, place = two_in_two_out
    model = model_of(bundle, place)
    found, left_out = build(tuple(PEERS), model, tmp_path_factory.mktemp("built"), [SHAPE])
    assert left_out == []
    return {contender.name: contender for contender in found}


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_answers_what_the_bundle_answers(built, two_in_two_out, name):
    bundle, _ = two_in_two_out
    entry = bundle.manifest.entry("sequence")
    feeds = feeds_of(entry, SHAPE)
    expected = load(bundle, "ort-cpu").predict(feeds)
    outputs = open_contender(built[name])(feeds)()
    assert len(outputs) == 2
    for tensor, output in zip(entry.outputs, outputs, strict=True):
        np.testing.assert_allclose(output, expected[tensor.name], atol=1e-5)


def test_a_static_file_is_measured_at_its_shape_only(built):
    assert built["litert-stock"].only == SHAPE
    assert built["tf2onnx"].only is None


def test_a_peer_that_fails_is_left_out_with_its_reason(monkeypatch, tmp_path):
    def fails(order):
        raise KeyError("keras_tensor_3")

    monkeypatch.setitem(module.PEERS, "tf2onnx", fails)
    contenders, (left_out,) = build(["tf2onnx"], PeerModel(None, ()), tmp_path, [SHAPE])
    assert contenders == []
    assert (left_out.name, left_out.reason) == ("tf2onnx", "'keras_tensor_3'")


def test_a_length_that_the_bundle_fixes_is_fixed_for_peers(tmp_path, small_keras):
    from rnn_deploy import export

    export(small_keras, tmp_path / "fixed", to=("onnx",), time=5)
    model = model_of(open_bundle(tmp_path / "fixed"), small_keras)
    assert model.time == 5
    assert model.signature()[0].shape.as_list() == [None, 5, 3]
