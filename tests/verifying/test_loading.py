"""An export for a profile is tried in the runtimes of the profile before it succeeds."""

from importlib.util import find_spec

import keras
import pytest

import rnn_deploy
from rnn_deploy.bundle import open_bundle
from rnn_deploy.errors import InputError, RuntimeUnavailableError, UnsupportedModelError
from rnn_deploy.exporting.pipeline import export
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.runtimes.fake import FakeRuntime
from rnn_deploy.verifying.loading import check_loads
from tests.support.errors import raises
from tests.support.models import randomised


class Unloadable(FakeRuntime):
    def load(self, bundle, options):
        raise RuntimeUnavailableError("E-RUNTIME-LOAD", "operator Odd is unknown")


class Absent(FakeRuntime):
    def why_unavailable(self):
        return "it is not installed"


def failing(entry, feeds):
    raise InputError("E-INPUT-REJECTED", "shapes differ")


@pytest.mark.parametrize(
    ("runtime", "reason"),
    [
        (Unloadable(lambda entry, feeds: {}, name="odd"), "operator Odd"),
        (FakeRuntime(failing, name="odd"), "shapes differ"),
    ],
)
def test_a_file_that_its_runtime_does_not_load_or_run_is_refused(small_bundle, runtime, reason):
    bundle = open_bundle(small_bundle)
    with raises(UnsupportedModelError, "E-MODEL-NOT-LOADED", reason, "--profile"):
        check_loads(bundle, ("odd",), [runtime])
    assert check_loads(bundle, ("other",), [runtime]) == ()


def test_a_runtime_that_is_not_here_is_noted(small_bundle):
    absent = Absent(lambda entry, feeds: {}, name="absent")
    (note,) = check_loads(open_bundle(small_bundle), ("absent",), [absent])
    assert "absent" in note
    assert "not installed" in note


class WeightedSum(keras.layers.Layer):
    """The sum of an attention, which tf2onnx writes as many nodes."""

    def call(self, x):
        return keras.ops.einsum("bt,btd->bd", keras.ops.tanh(x[..., 0]), x)


def weighted_sum():
    x = keras.Input((None, 4), name="x")
    return randomised(keras.Model(x, WeightedSum()(keras.layers.GRU(4, return_sequences=True)(x))))


def test_a_refused_export_leaves_nothing_behind(tmp_path):
    def refusing(bundle, names):
        assert names == ("openvino-cpu",)
        raise UnsupportedModelError("E-MODEL-NOT-LOADED", "no")

    options = ExportOptions("onnx", profile="openvino", long=0)
    with raises(UnsupportedModelError, "E-MODEL-NOT-LOADED"):
        export(weighted_sum(), tmp_path / "b", options, check_loads=refusing)
    assert list(tmp_path.iterdir()) == []


def test_a_profile_is_tried_and_an_einsum_loads_in_openvino(tmp_path):
    options = {"to": "onnx", "long": 0, "profile": "portable"}
    bundle = rnn_deploy.export(weighted_sum(), tmp_path / "b", **options)
    if find_spec("openvino"):
        assert not any("not tried" in note for note in bundle.manifest.notes)
    assert rnn_deploy.verify(bundle).passed
