"""Graphs are read as onnx reads them, and every contradiction of a configuration is found."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper

from rnn_deploy.bundle import open_bundle
from rnn_deploy.packaging.triton.config import stateful
from rnn_deploy.packaging.triton.graph import OnnxSignature, contradictions, graph_of, too_new


def read_by_onnx(values):
    return {
        value.name: (
            np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)).name,
            tuple(d.dim_value or -1 for d in value.type.tensor_type.shape.dim),
        )
        for value in values
    }


@pytest.fixture(scope="module")
def stream(two):
    bundle = open_bundle(two.root)
    content = bundle.read(bundle.manifest.artifact("onnx", "stream").path)
    config = stateful("two", bundle.manifest.entry("stream"), "onnxruntime")
    return content, config


def test_a_graph_is_read_as_onnx_reads_it(stream):
    model = onnx.load_from_string(stream[0])
    graph = graph_of(stream[0])
    for found, values in ((graph.inputs, model.graph.input), (graph.outputs, model.graph.output)):
        assert {n: (t.dtype, t.dims) for n, t in found.items()} == read_by_onnx(values)
    assert graph.ir == model.ir_version
    assert graph.opset == max(o.version for o in model.opset_import if o.domain == "")
    with pytest.raises(ValueError, match="cut"):
        graph_of(stream[0][:-1])


def test_an_initializer_is_no_input():
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [value("x", onnx.TensorProto.FLOAT, ["n"]), value("w", onnx.TensorProto.FLOAT, [1])],
        [value("y", onnx.TensorProto.FLOAT, ["n"])],
        [helper.make_tensor("w", onnx.TensorProto.FLOAT, [1], [2.0])],
    )
    assert list(graph_of(helper.make_model(graph).SerializeToString()).inputs) == ["x"]


def state(config, **values):
    return replace(config, states=(replace(config.states[0], **values), *config.states[1:]))


CHANGES = {
    "no initial value": lambda c: state(c, initial=False),
    "no state input 'h'": lambda c: state(c, input="h"),
    "no state output 'h'": lambda c: state(c, output="h"),
    "state output 'l_h_out' is float32": lambda c: state(c, dims=(4,)),
    "state input 'l_h_in' is float64": lambda c: state(c, dtype="float64"),
    "nothing feeds the graph's input 'l_c_in'": lambda c: replace(c, states=c.states[:1]),
    "nothing feeds the graph's input 'ids'": lambda c: replace(c, inputs=c.inputs[:1]),
    "'ids' is int64": lambda c: replace(
        c, inputs=(c.inputs[0], replace(c.inputs[1], dtype="int64"))
    ),
    "nothing takes the graph's output 'l_h_out'": lambda c: state(c, output="l_c_out"),
    "'l_c_out' leaves twice": lambda c: state(c, output="l_c_out"),
    "no output 'z'": lambda c: replace(c, outputs=(replace(c.outputs[0], name="z"),)),
    "is a state and an input": lambda c: replace(
        c, inputs=(*c.inputs, replace(c.inputs[0], name="l_h_in"))
    ),
    "in the graph float32(-1, -1, 3)": lambda c: replace(c, max_batch=0),
}


@pytest.mark.parametrize("shown", CHANGES)
def test_a_contradiction_is_found(stream, shown):
    content, config = stream
    graph = graph_of(content)
    assert contradictions(config, graph) == []
    assert any(shown in found for found in contradictions(CHANGES[shown](config), graph))


def test_files_that_the_server_does_not_load():
    assert too_new(OnnxSignature({}, {}, 10, 21)) == ""
    assert "IR version 11" in too_new(OnnxSignature({}, {}, 11, 21))
    assert "opset 22" in too_new(OnnxSignature({}, {}, 10, 22))
