"""Golden vectors as ONNX test data: read, fed and compared as ONNX's own backend tests do."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

import rnn_deploy
from rnn_deploy.bundle import Artifact, open_bundle, read_cases
from rnn_deploy.errors import InputError
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.onnx import test_data as onnx_test_data
from tests.support.errors import raises
from tests.support.models import LONG

SETS = ("sequence", "stream")


@pytest.fixture(scope="module")
def exported(tmp_path_factory, small_keras):
    """A bundle of the small model with test data: its folder."""
    place = tmp_path_factory.mktemp("test_data") / "small"
    return rnn_deploy.export(small_keras, place, to="onnx", test_data=True, long=LONG).root


def tensors(folder, kind):
    """The names and values of a data set's inputs or outputs, in the order of their numbers."""
    count = len(list(folder.glob(f"{kind}_*.pb")))
    read = [
        onnx.TensorProto.FromString((folder / f"{kind}_{i}.pb").read_bytes()) for i in range(count)
    ]
    return [(tensor.name, numpy_helper.to_array(tensor)) for tensor in read]


@pytest.mark.parametrize("entry", SETS)
def test_data_sets_are_fed_in_graph_order_and_give_their_outputs(exported, entry):
    session = onnxruntime.InferenceSession(exported / f"{entry}.onnx")
    folders = sorted((exported / "test_data" / entry).glob("test_data_set_*"))
    assert [f.name for f in folders] == [f"test_data_set_{i}" for i in range(len(folders))]
    for folder in folders:
        given, wanted = tensors(folder, "input"), tensors(folder, "output")
        assert [name for name, _ in given] == [value.name for value in session.get_inputs()]
        assert [name for name, _ in wanted] == [value.name for value in session.get_outputs()]
        for (name, value), found in zip(wanted, session.run(None, dict(given)), strict=True):
            assert (value.dtype, value.shape) == (found.dtype, found.shape)
            np.testing.assert_allclose(found, value, atol=2e-6, err_msg=f"{folder.name} {name}")


def test_the_model_lies_beside_its_data_sets(exported):
    bundle = open_bundle(exported)
    for entry in SETS:
        place = bundle.checked(f"test_data/{entry}/model.onnx")
        assert place.read_bytes() == (exported / f"{entry}.onnx").read_bytes()


def test_with_weights_of_its_own_file_it_runs_there_too(exported, tmp_path):
    model = onnx.load(exported / "stream.onnx")
    (tmp_path / "test_data" / "stream").mkdir(parents=True)
    onnx.save(model, tmp_path / "stream.onnx", save_as_external_data=True,
              location="weights.bin", size_threshold=48)  # fmt: skip
    artifact = Artifact("stream.onnx", "onnx", "stream", (), "weights.bin")
    paths = onnx_test_data.place_models(tmp_path, [artifact])
    assert paths == ["test_data/stream/model.onnx", "test_data/stream/weights.bin"]
    (tmp_path / "weights.bin").rename(tmp_path / "elsewhere.bin")
    onnxruntime.InferenceSession(tmp_path / "test_data/stream/model.onnx")
    assert onnx_test_data.place_models(tmp_path / "elsewhere", [artifact]) == []


def test_they_are_the_golden_vectors_with_states_that_are_not_zero(exported):
    cases = [c for c in read_cases(exported / "golden.npz") if "stream" in c.entries]
    folders = [exported / f"test_data/stream/test_data_set_{i}" for i in range(len(cases))]
    states = set()
    for case, folder in zip(cases, folders, strict=True):
        given = dict(tensors(folder, "input"))
        np.testing.assert_array_equal(given["x"], case.feeds["x"])
        np.testing.assert_array_equal(dict(tensors(folder, "output"))["y"], case.reference["y"])
        states.add(bool(np.any(given["second_h_in"])))
    assert states == {True, False}


def test_every_file_is_hashed_in_the_manifest(exported):
    bundle = open_bundle(exported)
    there = {p.relative_to(exported).as_posix() for p in exported.rglob("*.pb")}
    assert there
    assert there == {r.path for r in bundle.manifest.files if r.path.endswith(".pb")}
    assert all(bundle.checked(path).is_file() for path in sorted(there))


def test_it_is_written_only_on_request(small_bundle):
    assert not (small_bundle / "test_data").exists()


def test_without_onnx_there_is_no_test_data_to_request():
    with raises(InputError, "E-EXPORT-OPTION-UNUSED", "--test-data", "--to onnx"):
        ExportOptions("tflite", test_data=True)
