import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.store import MANIFEST
from rnn_deploy.errors import BundleError, InputError, MisplacedError, RuntimeUnavailableError
from rnn_deploy.runtimes import onnxruntime as module
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.onnxruntime import OrtRuntime
from rnn_deploy.runtimes.registry import RUNTIMES
from tests.support.errors import raises
from tests.support.models import randomised

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@pytest.fixture(scope="module")
def large_bundle(tmp_path_factory):
    """A bundle so large that its two ONNX files share their weights."""
    import keras

    from rnn_deploy import export

    x = keras.Input((None, 3), name="x")
    model = randomised(keras.Model(x, keras.layers.SimpleRNN(260, name="rnn")(x)), scale=0.05)
    return export(model, tmp_path_factory.mktemp("large") / "b", to=("onnx",)).root


def _load(root, entry="sequence", **options):
    return RUNTIMES["ort-cpu"].load(open_bundle(root), RunOptions(entry, **options))


@pytest.mark.parametrize("path", ["weights.bin", "sequence.onnx"])
def test_an_altered_file_never_reaches_the_session(large_bundle, path):
    place = large_bundle / path
    content = place.read_bytes()
    altered = bytearray(content)
    altered[len(altered) // 2] ^= 1
    _load(large_bundle)
    place.write_bytes(altered)
    try:
        with raises(BundleError, "E-BUNDLE-ALTERED", path):
            _load(large_bundle)
    finally:
        place.write_bytes(content)


def test_missing_shared_weights_are_named(large_bundle, tmp_path):
    content = (large_bundle / "weights.bin").read_bytes()
    (large_bundle / "weights.bin").unlink()
    try:
        with raises(BundleError, "E-BUNDLE-FILE-MISSING", "weights.bin"):
            _load(large_bundle, "stream")
    finally:
        (large_bundle / "weights.bin").write_bytes(content)


def _replace(root, path, content):
    """Put other content in a file of a bundle, its record in the manifest made to match."""
    (root / path).write_bytes(content)
    data = json.loads((root / MANIFEST).read_text())
    record = next(r for r in data["files"] if r["path"] == path)
    record |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (root / MANIFEST).write_text(json.dumps(data))


def test_a_file_that_is_no_onnx_is_refused_in_one_line(small_bundle):
    _replace(small_bundle, "sequence.onnx", b"junk" * 100)
    with raises(RuntimeUnavailableError, "E-RUNTIME-LOAD", "sequence.onnx") as caught:
        _load(small_bundle)
    assert "\n" not in str(caught.value)


def test_an_artifact_with_other_tensors_is_refused_in_one_line(small_bundle, x):
    _replace(small_bundle, "sequence.onnx", (small_bundle / "stream.onnx").read_bytes())
    runner = _load(small_bundle)
    with raises(InputError, "E-INPUT-REFUSED", "ONNX Runtime", "first_h_in"):
        runner.run({"x": x})


@pytest.mark.parametrize("bad", [7, -8, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("entry", ["sequence", "stream"])
def test_a_token_outside_the_vocabulary_is_refused(token_bundle, capfd, bad, entry):
    with raises(InputError, "E-INPUT-VOCABULARY", "'ids'", str(bad), "0 to 6"):
        _load(token_bundle, entry).run({"ids": np.array([[0, bad]], np.int32)})
    assert capfd.readouterr().err == ""


def test_wrong_feeds_are_refused_before_the_session(small_bundle, x):
    with raises(InputError, "E-INPUT-SHAPE", "'x'", "axis 2"):
        _load(small_bundle).run({"x": x[..., :2]})


@pytest.mark.parametrize("threads", [None, 1, 2])
def test_threads_do_not_change_the_answer(small_bundle, x, threads):
    expected = _load(small_bundle).run({"x": x})["y"]
    np.testing.assert_allclose(_load(small_bundle, threads=threads).run({"x": x})["y"], expected)


def test_options_for_a_provider_that_has_none_are_refused(small_bundle):
    with raises(InputError, "E-OPTION-PROVIDER", "--option device_id", "ort-cpu"):
        _load(small_bundle, provider=(("device_id", "0"),))


def test_a_bundle_without_onnx_says_how_to_get_it(small_bundle):
    data = json.loads((small_bundle / MANIFEST).read_text())
    data["artifacts"] = [a for a in data["artifacts"] if a["format"] != "onnx"]
    (small_bundle / MANIFEST).write_text(json.dumps(data))
    with raises(InputError, "E-BUNDLE-NO-ARTIFACT", "--to onnx"):
        _load(small_bundle)


def test_an_unknown_entry_point_is_refused_with_those_there_are(small_bundle):
    with raises(BundleError, "E-BUNDLE-NO-ENTRY", "'steam'", "sequence, stream"):
        _load(small_bundle, "steam")


# CUDA, which is not here: the real refusal, and ONNX Runtimes that only pretend


def test_cuda_that_is_not_here_is_refused_with_what_to_do(small_bundle, monkeypatch):
    pretend = SimpleNamespace(get_available_providers=lambda: [CPU])
    monkeypatch.setattr(module, "require", lambda name: pretend)
    names = ("'ort-cuda'", CUDA, CPU, "[ort-gpu]")
    with raises(RuntimeUnavailableError, "E-RUNTIME-UNAVAILABLE", *names):
        RUNTIMES["ort-cuda"].load(open_bundle(small_bundle), RunOptions())


def test_onnxruntime_that_is_not_installed_is_refused_with_the_pip_line(small_bundle, monkeypatch):
    monkeypatch.setattr(module, "is_installed", lambda package: False)
    with raises(RuntimeUnavailableError, "E-RUNTIME-UNAVAILABLE", "'ort-cpu'", "[ort]"):
        _load(small_bundle)


class _PretendedSession:
    """Claims the providers `started`, and profiles its nodes as `events`."""

    def __init__(self, started, events, settings):
        self._started, self._events, self._settings = started, events, settings

    def get_providers(self):
        return self._started

    def run(self, names, feeds):
        return []

    def end_profiling(self):
        place = f"{self._settings.profile_file_prefix}.json"
        with open(place, "w", encoding="utf-8") as file:
            json.dump(self._events, file)
        return place


def _pretend_cuda(monkeypatch, started, nodes):
    """An ONNX Runtime that offers CUDA, starts the providers `started` and runs `nodes` so."""
    events = [
        {"name": f"{name}_kernel_time", "args": {"op_name": op, "provider": provider}}
        for name, op, provider in nodes
    ]
    requested = []

    def session(path, settings, providers):
        requested.append(providers)
        return _PretendedSession(started, events, settings)

    pretend = SimpleNamespace(
        get_available_providers=lambda: [CUDA, CPU],
        SessionOptions=SimpleNamespace,
        InferenceSession=session,
    )
    monkeypatch.setattr(module, "require", lambda name: pretend)
    return requested


ALL_ON_CUDA = [("first", "RNN", CUDA), ("second", "RNN", CUDA), ("shape", "Shape", CPU)]


def _load_on_cuda(root, **options):
    return OrtRuntime("ort-cuda", CUDA).load(open_bundle(root), RunOptions(**options))


def test_a_graph_on_cuda_loads_with_the_options_given(small_bundle, monkeypatch):
    requested = _pretend_cuda(monkeypatch, [CUDA, CPU], ALL_ON_CUDA)
    _load_on_cuda(small_bundle, provider=(("device_id", "1"),))
    assert requested == [[(CUDA, {"device_id": "1"})]] * 2


def test_a_provider_that_silently_fell_back_is_refused(small_bundle, monkeypatch):
    _pretend_cuda(monkeypatch, [CPU], ALL_ON_CUDA)
    with raises(RuntimeUnavailableError, "E-RUNTIME-NOT-STARTED", CUDA):
        _load_on_cuda(small_bundle)


@pytest.mark.parametrize(
    "op", ["RNN", "Scan", "Loop", "MatMul", "Tanh", "Transpose", "NewOperator"]
)
def test_a_node_placed_elsewhere_is_refused_by_name(small_bundle, monkeypatch, op):
    _pretend_cuda(monkeypatch, [CUDA, CPU], [*ALL_ON_CUDA, ("third", op, CPU)])
    names = ("'ort-cuda'", "'sequence'", f"{op} 'third' on {CPU}", "--lowering")
    with raises(MisplacedError, "E-PLACEMENT-MISPLACED", *names) as caught:
        _load_on_cuda(small_bundle)
    assert "'shape'" not in caught.value.message


def test_of_many_misplaced_nodes_some_are_named_and_all_are_counted(small_bundle, monkeypatch):
    nodes = [(f"step{n:03}", "MatMul", CPU) for n in range(module.MOST_NAMED + 7)]
    _pretend_cuda(monkeypatch, [CUDA, CPU], nodes)
    with raises(
        MisplacedError, "E-PLACEMENT-MISPLACED", "'step000'", "'step009'", "7 more"
    ) as caught:
        _load_on_cuda(small_bundle)
    assert "'step010'" not in caught.value.message


def test_a_profile_that_names_no_node_proves_nothing(small_bundle, monkeypatch):
    _pretend_cuda(monkeypatch, [CUDA, CPU], [])
    with raises(RuntimeUnavailableError, "E-PLACEMENT-UNKNOWN", "'ort-cuda'"):
        _load_on_cuda(small_bundle)
