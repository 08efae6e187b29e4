"""The repository of a bundle, seen by a server that runs its Python backend and by check.py."""

import subprocess
import sys
from dataclasses import replace

import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.errors import BundleError, InputError, RuntimeUnavailableError
from rnn_deploy.packaging.triton.packager import PACKAGER
from rnn_deploy.spec import Support
from tests.support.errors import raises
from tests.support.fake_triton import Request, fake_server, loaded
from tests.support.triton_config import config_of

MODELS = ("two", "two_stream")


def configs_in(package):
    return {name: (package / "models" / name / "config.pbtxt").read_text() for name in MODELS}


def checked(package, models, configs):
    """How check.py of a package ends, and what it prints."""
    with fake_server(models, configs) as url:
        words = [sys.executable, "-I", package / "check.py", "--url", url]
        ended = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert ended.stderr == ""
    return ended.returncode, ended.stdout


def models_in(packages, **changes):
    root = packages["python"] / "models"
    return {name: loaded(root / name / "1", **changes) for name in MODELS}


@pytest.mark.parametrize("backend", ["onnxruntime", "python"])
def test_the_check_passes(packages, backend):
    package = packages[backend]
    code, printed = checked(package, models_in(packages), configs_in(package))
    assert code == 0, printed
    assert printed.count("passed") == len(MODELS)


FAULTS = {
    "no state": (
        "self.states[key] = now, {n: results[out]",
        "self.states[key] = now, {n: 0 * results[out]",
    ),
    "one state for all": ("key, flags, now = request.correlation_id()", "key, flags, now = 1"),
    "no start": (
        "states = {n: np.zeros((1, *shape), dtype)",
        "states = {n: np.ones((1, *shape), dtype)",
    ),
    "outputs": (
        "pb_utils.Tensor(name, results[name])",
        "pb_utils.Tensor(name, results[name] + 1e-3)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_model_is_found(packages, fault):
    old, new = FAULTS[fault]

    def change(text):
        assert old in text
        return text.replace(old, new).replace("1e-3", "np.float32(1e-3)")

    code, printed = checked(
        packages["python"], models_in(packages, change=change), configs_in(packages["python"])
    )
    assert code == 1
    assert "two_stream: FAILED" in printed
    assert ("two: passed" in printed) == (fault != "outputs")
    assert "expected" in printed or "the server answered 400" in printed


CONFIG_FAULTS = {
    "initial": (", zero_data: true", "", "initial_state"),
    "state name": ('output_name: "l_h_out"', 'output_name: "l_c_out"', "output_name is l_c_out"),
    "state lost": ('input_name: "l_h_in"', 'input_name: "h_in"', "state l_h_in is missing"),
    "size": ("dims: [ 5 ]", "dims: [ 1 ]", "dims is [1]"),
    "batch": ("max_batch_size: 64", "max_batch_size: 0", "max_batch_size is 0"),
    "type": ("TYPE_INT32", "TYPE_INT64", "TYPE_INT64"),
    "sequences": ("sequence_batching", "dynamic_batching { } #", "sequence_batching is missing"),
}


@pytest.mark.parametrize("fault", CONFIG_FAULTS)
def test_a_wrong_configuration_is_found(packages, fault):
    old, new, shown = CONFIG_FAULTS[fault]
    configs = configs_in(packages["onnxruntime"])
    text = configs["two_stream"]
    if fault == "sequences":
        text = text[: text.index("sequence_batching")] + text[text.index("\n}\n") + 3 :]
    assert old in configs["two_stream"]
    configs["two_stream"] = text.replace(old, new)
    code, printed = checked(packages["onnxruntime"], models_in(packages), configs)
    assert code == 1
    assert "two_stream: configuration: " in printed
    assert shown in printed


def test_a_sequence_without_a_start_is_an_error(packages):
    model = models_in(packages)["two_stream"]
    (response,) = model.execute([Request({"x": None, "ids": None}, {"sequence_id": 3})])
    assert "start flag" in response.error


def test_the_check_without_a_server_ends_with_2(packages):
    words = [sys.executable, "-I", packages["python"] / "check.py", "--url", "http://127.0.0.1:9"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "no server" in ended.stderr


def test_the_names_of_models(small_bundle):
    made = PACKAGER.package(open_bundle(small_bundle), {"model_name": "voice"})
    assert "models/voice/1/model.onnx" in made.files
    assert "models/voice_stream/config.pbtxt" in made.files


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"model_name": "a/b"}, "E-OPTION-MODEL-NAME"),
        ({"model_name": "../b"}, "E-OPTION-MODEL-NAME"),
        ({"backend": "tensorrt"}, "E-OPTION-BACKEND"),
    ],
)
def test_wrong_options_are_refused(small_bundle, options, code):
    with raises(InputError, code, next(iter(options.values()))):
        PACKAGER.package(open_bundle(small_bundle), options)


def changed(bundle, **values):
    return replace(bundle, manifest=replace(bundle.manifest, **values))


def test_a_stream_that_cannot_run_in_chunks_is_left_out(two):
    bundle = open_bundle(two.root)
    entries = tuple(
        replace(e, chunked=Support(False, "it looks ahead")) for e in bundle.manifest.entries
    )
    made = PACKAGER.package(changed(bundle, entries=entries), {})
    assert [path for path in made.files if "stream" in path] == []
    assert "it looks ahead" in made.notes[0]


def test_rows_that_depend_on_each_other_are_not_batched(two):
    bundle = open_bundle(two.root)
    entries = tuple(replace(e, rows=Support(False, "they mix")) for e in bundle.manifest.entries)
    made = PACKAGER.package(changed(bundle, entries=entries), {})
    config = config_of(made.files["models/two/config.pbtxt"].decode())
    assert config["max_batch_size"] == 0
    assert config["input"][0]["dims"] == ["-1", "-1", "3"]
    assert "dynamic_batching" not in config
    assert len(made.notes) == 2


def test_a_graph_that_contradicts_the_manifest_is_refused(two):
    bundle = open_bundle(two.root)
    stream = bundle.manifest.entry("stream")
    wrong = replace(stream.states[0], next_name=stream.states[1].next_name)
    entries = (bundle.manifest.entry("sequence"), replace(stream, states=(wrong, stream.states[1])))
    wrong_type = replace(stream.inputs[1], dtype="int64")
    other = (replace(stream, inputs=(stream.inputs[0], wrong_type)),)
    with raises(BundleError, "E-BUNDLE-GRAPH", "ids"):
        PACKAGER.package(changed(bundle, entries=other), {})
    with raises(BundleError, "E-BUNDLE-GRAPH", stream.states[0].next_name):
        PACKAGER.package(changed(bundle, entries=entries), {})


def test_a_type_that_triton_does_not_have_is_refused(two):
    bundle = open_bundle(two.root)
    stream = bundle.manifest.entry("stream")
    outputs = (replace(stream.outputs[0], dtype="complex64"), *stream.outputs[1:])
    with raises(InputError, "E-OPTION-TRITON-DTYPE", "complex64"):
        PACKAGER.package(changed(bundle, entries=(replace(stream, outputs=outputs),)), {})


def test_a_file_that_onnx_runtime_gets_wrong_is_refused(two):
    bundle = open_bundle(two.root)
    first = bundle.manifest.artifacts[0]
    choice = replace(first.choices[0], not_on=("ort-cpu",))
    artifacts = (replace(first, choices=(choice,)), *bundle.manifest.artifacts[1:])
    with raises(RuntimeUnavailableError, "E-RUNTIME-WRONG", first.path):
        PACKAGER.package(changed(bundle, artifacts=artifacts), {})
