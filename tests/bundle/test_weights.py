"""The weights inside model files, read without onnx and without LiteRT."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.manifest import Artifact
from rnn_deploy.bundle.weights import EXTENSION, digests_of, tensors_in

RNG = np.random.default_rng(5)


def artifact(format="onnx"):
    return Artifact(f"m.{format}", format, "sequence", ())


def model_with(*tensors, nodes=()):
    graph = helper.make_graph(list(nodes), "g", [], [], initializer=list(tensors))
    return helper.make_model(graph).SerializeToString()


def read(content, format="onnx"):
    return {t.name: t for t in tensors_in(artifact(format), lambda path: content)}


def test_constants_of_an_onnx_file_are_read_as_onnx_reads_them():
    w = RNG.standard_normal((3, 4)).astype(np.float32)
    packed = helper.make_tensor("p", onnx.TensorProto.FLOAT, [2], [1.5, 2.5])
    inner = numpy_helper.from_array(w[0], "")
    node = helper.make_node("Constant", [], ["c"], value=inner)
    body = helper.make_graph([], "body", [], [], initializer=[numpy_helper.from_array(w[1], "b")])
    loop = helper.make_node("Loop", ["n", "", ""], [], body=body)
    found = read(model_with(numpy_helper.from_array(w, "w"), packed, nodes=[node, loop]))
    assert {name: t.shape for name, t in found.items()} == {
        "w": (3, 4), "p": (2,), "c": (4,), "b": (4,),
    }  # fmt: skip
    for name, expected in (("w", w.ravel()), ("p", [1.5, 2.5]), ("c", w[0]), ("b", w[1])):
        assert np.array_equal(found[name].values, expected)


def test_external_data_are_read_from_their_file():
    tensor = numpy_helper.from_array(np.zeros(3, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "weights.bin"), ("offset", "4"), ("length", "12")):
        tensor.external_data.add(key=key, value=value)
    files = {"m.onnx": model_with(tensor), "weights.bin": np.arange(5, dtype="f4").tobytes()}
    (found,) = tensors_in(artifact(), files.__getitem__)
    assert found.file == "weights.bin"
    assert found.values.tolist() == [1, 2, 3]


@pytest.mark.parametrize("format", ["onnx", "tflite"])
@pytest.mark.parametrize("content", [b"", b"\x3a\xff\xff\xff\xff\x7f", b"\x10" * 64, b"\xff" * 99])
def test_a_damaged_file_is_a_value_error_or_has_no_weights(content, format):
    try:
        found = read(content, format)
    except ValueError:
        return
    assert found == {}


def test_an_export_stores_the_digest_of_every_weight(small_bundle, small_keras):
    import keras

    bundle = open_bundle(small_bundle)
    digests = bundle.manifest.extensions[EXTENSION].data
    assert {"sequence.onnx", "stream.onnx", "model.tflite"} <= digests.keys()
    assert digests == digests_of(
        bundle.manifest.artifacts, lambda p: (small_bundle / p).read_bytes()
    )
    model = keras.saving.load_model(small_keras, compile=False)
    for path in ("sequence.onnx", "model.tflite"):
        (used,) = {a.path: a for a in bundle.manifest.artifacts if a.path == path}.values()
        tensors = tensors_in(used, lambda p: (small_bundle / p).read_bytes())
        values = {float(v) for t in tensors if t.dtype == "f4" for v in t.values}
        kernels = [w for w in model.get_weights() if w.ndim == 2]
        assert all({float(v) for v in kernel.ravel()} <= values for kernel in kernels)
