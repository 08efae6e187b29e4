"""Masks in TFLite-Micro, whose operators for them are missing, and failures by operator."""

import keras
import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras.compat import schema
from rnn_deploy.tflite.flatbuffer.editor import SubgraphEditor
from rnn_deploy.tflite.flatbuffer.merge import unpacked
from rnn_deploy.tflite.flatbuffer.packing import packed
from rnn_deploy.tflite.micro import files
from rnn_deploy.tflite.micro.failures import explained
from rnn_deploy.tflite.micro.operators import for_micro
from rnn_deploy.workers.process import FAILED, WorkerError
from tests.support.errors import raises
from tests.support.models import randomised

layers = keras.layers


def _masking():
    x = keras.Input((None, 4), name="x")
    y = layers.Bidirectional(layers.GRU(3, return_sequences=True), name="both")(
        layers.Masking(name="masking")(x)
    )
    return keras.Model(x, layers.LSTM(4, name="last")(y), name="mine")


def _embedding():
    ids = keras.Input((None,), dtype="int32", name="ids")
    y = layers.Embedding(9, 3, mask_zero=True, name="names")(ids)
    return keras.Model(ids, layers.SimpleRNN(4, name="rnn")(y), name="mine")


def _mask_as_an_input():
    x, keep = keras.Input((None, 4), name="x"), keras.Input((None,), dtype="bool", name="keep")
    y = layers.LSTM(3, return_sequences=True, zero_output_for_mask=True, name="rnn")(x, mask=keep)
    return keras.Model([x, keep], y, name="mine")


@pytest.mark.parametrize(
    ("build", "lowering"),
    [(_masking, "auto"), (_embedding, "unrolled"), (_mask_as_an_input, "loop")],
)
def test_masked_models_are_right_there(tmp_path, build, lowering):
    model = randomised(build(), 5, 0.4)
    bundle = rnn_deploy.export(
        model, tmp_path / "b", to="tflite-micro", time=5, long=0, tflite_lowering=lowering
    )
    report = rnn_deploy.verify(bundle)
    assert report.passed
    assert any(c.check == "masks" for c in report.comparisons)


def test_without_replacements_the_operator_and_the_layer_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "for_micro", lambda content: content)
    model = randomised(_masking(), 5, 0.4)
    with raises(UnsupportedModelError, "E-MODEL-OPERATOR", "'masking'", "REDUCE_ANY"):
        rnn_deploy.export(model, tmp_path / "b", to="tflite-micro", time=3, long=0)


def test_an_operator_that_fails_while_it_runs_is_named():
    class Plan:
        model = _mask_as_an_input()

    stderr = "Type 'BOOL' is not supported.\r\nNode UNPACK (number 4) failed to invoke"
    file = packed(_one_operator(schema.BuiltinOperator.UNPACK, b"mine/rnn/unstack"))
    error = explained(WorkerError(FAILED, "failed", stderr), file, Plan, "sequence")
    assert error.code == "E-MODEL-OPERATOR"
    assert all(word in error.message for word in ("'rnn'", "UNPACK", "Type 'BOOL'"))


def test_replacements_compute_the_same():
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter
    condition = np.array([[True, False, True]])
    a, b = np.array([[1, 2, 3]], np.int32), np.array([[7, 8, -9]], np.int32)
    model = _select(condition, a, b)
    for content in (packed(model), for_micro(packed(model))):
        runner = interpreter(model_content=content)
        runner.allocate_tensors()
        for details, value in zip(runner.get_input_details(), (condition, a, b), strict=True):
            runner.set_tensor(details["index"], value)
        runner.invoke()
        result = runner.get_tensor(runner.get_output_details()[0]["index"])
        np.testing.assert_array_equal(result, np.where(condition, a, b))
    codes = {code.builtinCode for code in unpacked(for_micro(packed(model))).operatorCodes}
    kinds = schema.BuiltinOperator
    assert codes == {kinds.CAST, kinds.SUB, kinds.MUL, kinds.ADD}


def _model():
    model, graph = schema.ModelT(), schema.SubGraphT()
    graph.name, graph.tensors, graph.operators = b"main", [], []
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], []
    model.buffers = [schema.BufferT()]
    return model, graph, SubgraphEditor(model, graph)


def _one_operator(code, name):
    model, graph, editor = _model()
    tensors = [editor.tensor([1, 1], dtype="bool") for _ in range(2)]
    graph.tensors[1].name = name
    graph.inputs, graph.outputs = (np.array([i], np.int32) for i in tensors)
    kind, options = schema.BuiltinOptions.UnpackOptions, schema.UnpackOptionsT()
    graph.operators = [editor.operator(code, tensors[:1], tensors[1:], kind, options)]
    return model


def _select(condition, a, b):
    model, graph, editor = _model()
    inputs = [editor.tensor(list(v.shape), dtype=v.dtype.name) for v in (condition, a, b)]
    result = editor.tensor(list(a.shape), dtype="int32")
    for index, name in enumerate((b"a", b"b", b"c", b"d")):
        graph.tensors[index].name = name
    graph.inputs, graph.outputs = np.array(inputs, np.int32), np.array([result], np.int32)
    kind, options = schema.BuiltinOptions.SelectOptions, schema.SelectOptionsT()
    graph.operators = [
        editor.operator(schema.BuiltinOperator.SELECT, inputs, [result], kind, options)
    ]
    return model
