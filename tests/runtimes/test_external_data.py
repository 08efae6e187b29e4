import contextlib
import gc
import json

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

import rnn_deploy
from rnn_deploy.bundle.store import MANIFEST, record_of
from rnn_deploy.errors import BundleError, InputError
from rnn_deploy.runtimes import onnx_file
from rnn_deploy.runtimes.artifact import open_artifact
from rnn_deploy.runtimes.external_data import external_files
from tests.support.errors import raises

RUNTIMES = ["ort-cpu", "openvino-cpu"]


def _external(name, location):
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="offset", value="0")
    tensor.external_data.add(key="location", value=location)
    return tensor


def _model_with_tensors_everywhere():
    """A model with external data in every place that may hold a tensor."""
    inner = helper.make_graph([], "inner", [], [], initializer=[_external("a", "inner")])
    node = helper.make_node("If", ["c"], ["y"])
    node.attribute.append(helper.make_attribute("then_branch", inner))
    node.attribute.append(helper.make_attribute("value", _external("b", "attribute")))
    many = node.attribute.add(name="many", type=onnx.AttributeProto.TENSORS)
    many.tensors.append(_external("c", "tensors"))
    sparse = onnx.SparseTensorProto(values=_external("v", "v"), indices=_external("i", "i"))
    graph = helper.make_graph([node], "g", [], [], [_external("d", "initializer")])
    graph.sparse_initializer.append(sparse)
    model = helper.make_model(graph)
    model.functions.add(name="f").node.append(
        helper.make_node("Constant", [], ["k"], value=_external("e", "function"))
    )
    return model


def test_every_place_that_may_hold_a_tensor_is_seen():
    names = {"inner", "attribute", "tensors", "v", "i", "initializer", "function"}
    assert set(external_files(_model_with_tensors_everywhere().SerializeToString())) == names


def test_a_word_in_a_name_is_no_file():
    graph = helper.make_graph([helper.make_node("Add", ["location", "b"], ["y"])], "g", [], [])
    assert external_files(helper.make_model(graph).SerializeToString()) == []


CONTENT = _model_with_tensors_everywhere().SerializeToString()


@given(st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(0, 255)), max_size=8))
@settings(max_examples=200, deadline=None)
def test_a_damaged_file_is_a_value_error_at_most(changes):
    content = bytearray(CONTENT)
    for at, value in changes:
        content[at] = value
    for damaged in (bytes(content), bytes(content[: len(content) // 2])):
        with contextlib.suppress(ValueError):
            external_files(damaged)


@pytest.fixture
def moved(small_bundle):
    """A function that moves the first weight of sequence.onnx to a file, with right hashes."""

    def move(location, *, listed):
        place = small_bundle / "sequence.onnx"
        model = onnx.load(place)
        weight = next(t for t in model.graph.initializer if len(t.dims) > 1)
        raw = onnx.numpy_helper.to_array(weight).tobytes()
        weight.ClearField("raw_data")
        weight.ClearField("float_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, "offset": "0", "length": str(len(raw))}.items():
            weight.external_data.add(key=key, value=value)
        place.write_bytes(model.SerializeToString())
        data = json.loads((small_bundle / MANIFEST).read_text())
        paths = ["sequence.onnx"] + ([location] if listed else [])
        if "/" not in location:
            (small_bundle / location).write_bytes(raw)
        kept = [record for record in data["files"] if record["path"] not in paths]
        data["files"] = kept + [vars(record_of(small_bundle, path)) for path in paths]
        (small_bundle / MANIFEST).write_text(json.dumps(data))
        return small_bundle

    return move


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("location", ["/etc/hostname", "../x", "a/../../x"])
def test_a_file_outside_is_refused_by_us(moved, runtime, location):
    with raises(BundleError, "E-BUNDLE-OUTSIDE", location):
        rnn_deploy.load(moved(location, listed=False), runtime)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_file_that_the_manifest_does_not_list_is_refused(moved, runtime):
    with raises(BundleError, "E-BUNDLE-FILE-UNLISTED", "w.bin"):
        rnn_deploy.load(moved("w.bin", listed=False), runtime)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_listed_file_is_checked_and_read_once(moved, small_bundle, runtime, x, monkeypatch):
    expected = rnn_deploy.load(small_bundle, runtime).predict(x)
    root = moved("w.bin", listed=True)
    read = onnx_file.read_onnx

    def altered_afterwards(bundle, artifact):
        file = read(bundle, artifact)
        for name in ("sequence.onnx", "w.bin"):
            (root / name).write_bytes(b"altered")
        return file

    for module in ("onnxruntime", "openvino"):
        monkeypatch.setattr(f"rnn_deploy.runtimes.{module}.read_onnx", altered_afterwards)
    model = rnn_deploy.load(root, runtime)
    gc.collect()
    np.testing.assert_array_equal(model.predict(x), expected)
    with raises(BundleError, "E-BUNDLE-ALTERED"):
        rnn_deploy.load(root, runtime)


def test_an_older_onnxruntime_reads_a_copy(moved, small_bundle, x, monkeypatch):
    expected = rnn_deploy.load(small_bundle, "ort-cpu").predict(x)
    import onnxruntime

    class Older(onnxruntime.SessionOptions):
        add_external_initializers_from_files_in_memory = None

    monkeypatch.setattr(onnxruntime, "SessionOptions", Older)
    model = rnn_deploy.load(moved("w.bin", listed=True), "ort-cpu")
    np.testing.assert_array_equal(model.predict(x), expected)


def test_a_file_without_a_bundle_stays_in_its_folder(moved, tmp_path):
    root = moved("w.bin", listed=True)
    open_artifact(root / "sequence.onnx").close()
    (root / "w.bin").rename(tmp_path / "elsewhere")
    (root / "w.bin").symlink_to(tmp_path / "elsewhere")
    with raises(BundleError, "E-BUNDLE-OUTSIDE", "w.bin", "symbolic link"):
        open_artifact(root / "sequence.onnx")
    (root / "bad.onnx").write_bytes(b"\x0f location")
    with raises(InputError, "E-INPUT-MODEL-FILE", "bad.onnx"):
        open_artifact(root / "bad.onnx")
