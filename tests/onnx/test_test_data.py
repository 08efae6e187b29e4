"""Golden vectors as ONNX test data: read, fed and compared as ONNX's own backend tests do."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import numpy_helper

from rnn_deploy.bundle import Artifact, open_bundle, read_cases
from rnn_deploy.errors import InputError
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.onnx import test_data as onnx_test_data

SETS = ("sequence", "stream")


def tensors(folder, kind):
    """The names and values of a data set's inputs or outputs, in the order of their numbers."""
    count = len(list(folder.glob(f"{kind}_*.pb")))
    read = [
        onnx.TensorProto.FromString((folder / f"{kind}_{i}.pb").read_bytes()) for i in range(count)
    ]
    return [(tensor.name, numpy_helper.to_array(tensor)) for tensor in read]


@pytest.mark.parametrize("entry", SETS)
def test_data_sets_are_fed_in_graph_order_and_give_their_outputs(small_bundle, entry):
    session = onnxruntime.InferenceSession(small_bundle / f"{entry}.onnx")
    folders = sorted((small_bundle / "test_data" / entry).glob("test_data_set_*"))
    assert [f.name for f in folders] == [f"test_data_set_{i}" for i in range(len(folders))]
    for folder in folders:
        given, wanted = tensors(folder, "input"), tensors(folder, "output")
        assert [name for name, _ in given] == [value.name for value in session.get_inputs()]
        assert [name for name, _ in wanted] == [value.name for value in session.get_outputs()]
        for (name, value), found in zip(wanted, session.run(None, dict(given)), strict=True):
            assert (value.dtype, value.shape) == (found.dtype, found.shape)
            np.testing.assert_allclose(found, value, atol=2e-6, err_msg=f"{folder.name} {name}")


def test_the_model_lies_beside_its_data_sets(small_bundle):
    bundle = open_bundle(small_bundle)
    for entry in SETS:
        place = bundle.checked(f"test_data/{entry}/model.onnx")
        assert place.read_bytes() == (small_bundle / f"{entry}.onnx").read_bytes()


def test_with_weights_of_its_own_file_it_runs_there_too(small_bundle, tmp_path):
    model = onnx.load(small_bundle / "stream.onnx")
    (tmp_path / "test_data" / "stream").mkdir(parents=True)
    onnx.save(model, tmp_path / "stream.onnx", save_as_external_data=True,
              location="weights.bin", size_threshold=48)  # fmt: skip
    artifact = Artifact("stream.onnx", "onnx", "stream", (), "weights.bin")
    told = ["test_data/stream/test_data_set_0/input_0.pb"]
    paths = onnx_test_data.place_models(tmp_path, [artifact], told)
    assert paths == ["test_data/stream/model.onnx", "test_data/stream/weights.bin"]
    (tmp_path / "weights.bin").rename(tmp_path / "elsewhere.bin")
    onnxruntime.InferenceSession(tmp_path / "test_data/stream/model.onnx")
    assert onnx_test_data.place_models(tmp_path, [artifact], []) == []


def test_they_are_the_golden_vectors_with_states_that_are_not_zero(small_bundle):
    cases = [c for c in read_cases(small_bundle / "golden.npz") if "stream" in c.entries]
    folders = [small_bundle / f"test_data/stream/test_data_set_{i}" for i in range(len(cases))]
    states = set()
    for case, folder in zip(cases, folders, strict=True):
        given = dict(tensors(folder, "input"))
        np.testing.assert_array_equal(given["x"], case.feeds["x"])
        np.testing.assert_array_equal(dict(tensors(folder, "output"))["y"], case.reference["y"])
        states.add(bool(np.any(given["second_h_in"])))
    assert states == {True, False}


def test_every_file_is_hashed_in_the_manifest(small_bundle):
    bundle = open_bundle(small_bundle)
    there = {p.relative_to(small_bundle).as_posix() for p in small_bundle.rglob("*.pb")}
    assert there
    assert there == {r.path for r in bundle.manifest.files if r.path.endswith(".pb")}
    assert all(bundle.checked(path).is_file() for path in sorted(there))


@pytest.mark.parametrize(
    ("wanted", "most", "written"),
    [(None, 1e9, True), (None, 10, False), (True, 10, True), (False, 1e9, False)],
)
def test_what_is_small_is_written_unasked(
    small_bundle, wanted, most, written, tmp_path, monkeypatch
):
    monkeypatch.setattr(onnx_test_data, "MOST_UNASKED", most)
    models = {name: ir.load(small_bundle / f"{name}.onnx") for name in SETS}
    entries = open_bundle(small_bundle).manifest.entries
    cases = list(read_cases(small_bundle / "golden.npz", special=True))
    paths = onnx_test_data.write_test_data(tmp_path / "b", models, entries, cases, wanted)
    assert bool(paths) is (tmp_path / "b" / "test_data").is_dir() is written
    there = {p.relative_to(small_bundle).as_posix(): p for p in small_bundle.rglob("*.pb")}
    for path in paths:
        assert (tmp_path / "b" / path).read_bytes() == there.pop(path).read_bytes()
    assert bool(there) is not written


def test_without_onnx_there_is_no_test_data_to_ask_for():
    with pytest.raises(InputError, match="--test-data is of ONNX, which is not exported here"):
        ExportOptions(("tflite",), test_data=True)
