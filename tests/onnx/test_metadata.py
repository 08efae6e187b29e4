"""Opsets, metadata, and names after the Keras layers."""

import keras
import numpy as np
import onnx
import onnxruntime
import pytest

import rnn_deploy
from rnn_deploy.conformance.cases import CASES
from rnn_deploy.conformance.checking import with_random_weights
from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.exporting.pipeline import export
from rnn_deploy.exporting.reading import ModelReader
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.onnx import metadata as onnx_label
from rnn_deploy.onnx.metadata import IR_VERSIONS
from rnn_deploy.verifying import verify
from tests.support.models import LONG, small_model

SPREAD = ("GRU-states", "masked-LSTM-sequence", "bidirectional-ave", "echo", "around", "ConvLSTM1D")


@pytest.fixture(scope="module", params=SPREAD)
def reader(request):
    """A model, read once for all opsets."""
    case = next(case for case in CASES if case.name == request.param)
    return ModelReader(with_random_weights(case.build(), 1, case.scale))


@pytest.mark.parametrize("opset", IR_VERSIONS)
def test_a_model_is_the_same_in_every_opset(tmp_path, reader, runtimes, opset):
    options = ExportOptions(("onnx",), opset=opset, long=LONG)
    bundle = export(reader.model, tmp_path / "b", options, reader=reader)
    for entry in bundle.manifest.entries:
        proto = onnx.load(bundle.root / f"{entry.name}.onnx")
        onnx.checker.check_model(proto, full_check=True)
        assert [(o.domain, o.version) for o in proto.opset_import] == [("", opset)]
        assert proto.ir_version == IR_VERSIONS[opset]
    report = verify(bundle, runtimes=[r for r in runtimes if r.name == "ort-cpu"])
    assert report.passed, report.verdict


@pytest.mark.parametrize("opset", [16, 23, 0])
def test_an_opset_that_is_not_written_is_refused(tmp_path, opset):
    with pytest.raises(InputError, match=rf"--opset {opset}: there are 17 to 22"):
        rnn_deploy.export(small_model(), tmp_path / "b", opset=opset)


def test_an_opset_without_onnx_is_refused(tmp_path):
    with pytest.raises(InputError, match="--opset 18 is of ONNX, which is not exported here"):
        rnn_deploy.export(small_model(), tmp_path / "b", opset=18, to=("tflite",))


def test_what_an_opset_cannot_hold_is_refused(tmp_path, monkeypatch):
    def refuse(proto, opset):
        raise RuntimeError(f"no adapter\nfor {opset}")

    monkeypatch.setattr(onnx_label.version_converter, "convert_version", refuse)
    with pytest.raises(UnsupportedModelError, match="in opset 19: no adapter for 19; leave --ops"):
        rnn_deploy.export(small_model(), tmp_path / "b", opset=19)
    assert not (tmp_path / "b").exists()


def test_a_model_says_what_it_is(tmp_path):
    bundle = rnn_deploy.export(small_model(), tmp_path / "b", to=("onnx",))
    proto = onnx.load(bundle.root / "stream.onnx")
    assert proto.producer_name == "rnn_deploy"
    assert proto.producer_version == bundle.manifest.tools["rnn-deploy"]
    session = onnxruntime.InferenceSession(bundle.root / "stream.onnx")
    facts = session.get_modelmeta().custom_metadata_map
    source = bundle.manifest.source
    assert facts == {
        "rnn_deploy.entry": "stream",
        "rnn_deploy.source": f"small (live model), {source.digest}",
        "rnn_deploy.layers": "first: simple_rnn(5) as native, second: simple_rnn(4) as native",
        "rnn_deploy.states": "first_h_in -> first_h_out, second_h_in -> second_h_out",
    }


def test_every_node_and_weight_is_named_after_its_layer(tmp_path):
    x = keras.Input((None, 3), name="x")
    inner_x = keras.Input((None, 4))
    inner = keras.Model(inner_x, keras.layers.GRU(4, return_sequences=True, name="deep")(inner_x))
    y = keras.layers.Dense(4, activation="gelu", name="dense")(x)
    y = keras.layers.LayerNormalization(name="norm_1")(inner(y))
    y = keras.layers.Bidirectional(keras.layers.LSTM(3, name="l"), name="both")(y)
    model = keras.Model(x, keras.layers.Dense(2, name="y")(y), name="outer")
    rnn_deploy.export(with_random_weights(model, 0, 0.3), tmp_path / "b", to=("onnx",))
    graph = onnx.load(tmp_path / "b" / "sequence.onnx").graph
    named = [*(node.name for node in graph.node), *(i.name for i in graph.initializer)]
    assert len(set(named)) == len(named)
    layers = {name.split("/")[0] for name in named if "/" in name}
    assert layers == {"dense", "deep", "norm_1", "both", "y"}
    assert all("/" in name for name in named)


def test_weights_are_told_apart_by_their_layers(tmp_path):
    rnn_deploy.export(small_model(), tmp_path / "b", to=("onnx",))
    graph = onnx.load(tmp_path / "b" / "sequence.onnx").graph
    shapes = {i.name: tuple(i.dims) for i in graph.initializer}
    assert shapes["first/W"] == (1, 5, 3)
    assert shapes["second/R"] == (1, 4, 4)
    assert np.prod(shapes["first/B"]) == 10
