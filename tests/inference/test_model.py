import copy
import json
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.bundle import Bundle, Manifest, ModelSource, read_cases
from rnn_deploy.errors import BundleError, ClosedError, InputError, RuntimeUnavailableError
from rnn_deploy.inference.model import Model
from rnn_deploy.runtimes import registry
from rnn_deploy.runtimes.fake import FakeRunner, FakeRuntime
from rnn_deploy.spec import EntryPoint, Support, TensorSpec
from tests.support.errors import raises
from tests.support.models import small_model

RUNTIMES = ["ort-cpu", "litert"]
A, B, P, Q = (TensorSpec(name, ("batch", 2), "float32") for name in "abpq")
ALONE = Support(True, "tried")
SEVERAL = EntryPoint("sequence", (A, B), (P, Q), rows=ALONE)


def model_of(entry, answer):
    """A model with one entry point, whose answers are a function."""
    manifest = Manifest(ModelSource("live model", "mine", "d"), (entry,), (), "g.npz", (), {})
    return Model(Bundle(Path("b"), manifest, "0"), "fake", lambda name: FakeRunner(entry, answer))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_predict_gives_what_keras_gave(small_bundle, runtime):
    model = rnn_deploy.load(small_bundle, runtime)
    cases = [c for c in read_cases(small_bundle / "golden.npz") if "sequence" in c.entries]
    assert cases
    for case in cases:
        y = model.predict(case.feeds["x"])
        np.testing.assert_allclose(y, case.truth["y"], rtol=0, atol=2e-6)


@pytest.mark.parametrize("runtime", [*RUNTIMES, "openvino-cpu"])
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
def test_a_copy_loads_runners_of_its_own(small_bundle, runtime, copied, x):
    model = rnn_deploy.load(small_bundle, runtime, threads=1)
    again = copied(model)
    expected = model.predict(x)
    model.close()
    np.testing.assert_array_equal(again.predict(x), expected)
    assert (again.runtime, again.name) == (runtime, model.name)
    assert again.stream().step(x[:1, :1]).shape == (1, 1, 2)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_steps_of_a_stream_give_what_keras_gave(small_bundle, runtime):
    model = rnn_deploy.load(small_bundle, runtime)
    case = next(c for c in read_cases(small_bundle / "golden.npz") if c.name == "n3t5")
    stream = model.stream(batch=3)
    steps = [stream.step(case.feeds["x"][:, t : t + 1]) for t in range(5)]
    np.testing.assert_allclose(np.concatenate(steps, 1), case.truth["y"], rtol=0, atol=2e-6)
    for name, value in stream.finals().items():
        np.testing.assert_allclose(value, case.truth[name], rtol=0, atol=2e-6)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 99])
def test_batches_do_not_change_the_answer(small_bundle, runtime, batch_size):
    x = np.random.default_rng(2).standard_normal((5, 4, 3)).astype("f")
    model = rnn_deploy.load(small_bundle, runtime)
    y = model.predict(x, batch_size=batch_size)
    np.testing.assert_allclose(y, model.predict(x), rtol=0, atol=1e-6, strict=True)


def test_batches_are_no_larger_than_asked():
    seen = []
    entry = EntryPoint("sequence", (A,), (P,), rows=ALONE)

    def answer(entry, feeds):
        seen.append(len(feeds["a"]))
        return {"p": feeds["a"]}

    a = np.random.default_rng(0).standard_normal((5, 2)).astype("f")
    model = model_of(entry, answer)
    np.testing.assert_array_equal(model.predict(a, batch_size=2), a)
    assert seen == [2, 2, 1]


@pytest.mark.parametrize("batch_size", [None, 1, 2])
@pytest.mark.parametrize(
    ("feeds", "names"),
    [
        (np.zeros((0, 4, 3), "f"), ["'x'", "(0, 4, 3)"]),
        (np.zeros((2, 0, 3), "f"), ["'x'", "(2, 0, 3)"]),
        (np.zeros((4, 3), "f"), ["'x'", "(4, 3)"]),
        (np.float32(1), ["'x'"]),
        (np.full((2, 4, 3), 1e39), ["'x'", "float64"]),
        (np.ma.zeros((2, 4, 3), "f"), ["'x'", "masked"]),
        ({}, ["'x'"]),
        ({"z": np.zeros((2, 4, 3), "f")}, ["'z'", "'x'"]),
    ],
)
def test_bad_inputs_are_refused_in_batches_or_not(small_bundle, feeds, names, batch_size):
    with pytest.raises(InputError) as caught:  # tests/runtimes/test_feeds.py has the codes
        rnn_deploy.load(small_bundle, "ort-cpu").predict(feeds, batch_size=batch_size)
    assert all(name in str(caught.value) for name in names)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_of_none_is_refused(small_bundle, x, batch_size):
    with raises(InputError, "E-INPUT-BATCH-SIZE", str(batch_size)):
        rnn_deploy.load(small_bundle).predict(x, batch_size=batch_size)


def test_a_fixed_batch_is_not_cut():
    entry = EntryPoint("sequence", (TensorSpec("x", (2, 3), "float32"),), ())
    model = model_of(entry, lambda entry, feeds: {})
    with raises(InputError, "E-INPUT-ONE-BATCH", "'x'"):
        model.predict(np.zeros((2, 3), "f"), batch_size=1)


def test_outputs_without_rows_of_sequences_are_not_joined():
    x = TensorSpec("x", ("batch", "time"), "float32")
    entry = EntryPoint("sequence", (x,), (TensorSpec("y", ("time", "batch"), "float32"),))
    model = model_of(entry, lambda entry, feeds: {"y": feeds["x"].T})
    assert model.predict(np.zeros((2, 3), "f")).shape == (3, 2)
    with raises(InputError, "E-INPUT-ONE-BATCH", "'y'"):
        model.predict(np.zeros((2, 3), "f"), batch_size=1)


@pytest.mark.parametrize("runtime", ["ort-cpu", "openvino-cpu", "litert"])
def test_one_model_answers_many_threads(small_bundle, runtime):
    model = rnn_deploy.load(small_bundle, runtime)
    given = np.random.default_rng(0).standard_normal((4, 2, 50, 3)).astype("f")
    alone = [model.predict(x) for x in given]

    def answers(x):
        return [model.predict(x) for _ in range(20)]

    with ThreadPoolExecutor(4) as threads:
        for expected, found in zip(alone, threads.map(answers, given), strict=True):
            for y in found:
                np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6, strict=True)


def _several():
    def answer(entry, feeds):
        return {"p": feeds["a"] - feeds["b"], "q": feeds["b"]}

    return model_of(SEVERAL, answer)


def test_several_inputs_and_outputs_go_by_name():
    a, b = np.random.default_rng(0).standard_normal((2, 3, 2)).astype("f")
    results = _several().predict({"b": b, "a": a})
    assert list(results) == ["p", "q"]
    np.testing.assert_array_equal(results["p"], a - b)


def test_one_array_for_several_inputs_is_refused():
    with raises(InputError, "E-INPUT-SEVERAL", "a, b"):
        _several().predict(np.zeros((1, 2), "f"))


def test_inputs_of_different_batches_are_refused_in_batches_too():
    feeds = {"a": np.zeros((3, 2), "f"), "b": np.zeros((5, 2), "f")}
    with pytest.raises(InputError, match="'batch'"):
        _several().predict(feeds, batch_size=3)


def test_the_first_runtime_here_is_the_default(small_bundle, monkeypatch):
    assert rnn_deploy.load(small_bundle).runtime == "ort-cpu"
    without = {n: r for n, r in registry.RUNTIMES.items() if n != "ort-cpu"}
    monkeypatch.setattr(registry, "RUNTIMES", without)
    assert rnn_deploy.load(small_bundle).runtime == "litert"


def test_no_runtime_at_all_is_refused_with_every_reason(small_bundle, monkeypatch):
    class Gone(FakeRuntime):
        def why_unavailable(self):
            return f"{self.name} went away"

    gone = {name: Gone(dict, name) for name in ("one", "two")}
    monkeypatch.setattr(registry, "RUNTIMES", gone)
    with pytest.raises(RuntimeUnavailableError, match=r"one: one went away.*two: two went away"):
        rnn_deploy.load(small_bundle)


def test_an_unknown_runtime_is_refused_with_those_there_are(small_bundle):
    with raises(InputError, "E-RUNTIME-UNKNOWN", "'onnx'", "ort-cpu, ort-cuda, litert"):
        rnn_deploy.load(small_bundle, "onnx")


@pytest.mark.parametrize(("runtime", "path"), [("ort-cpu", "sequence.onnx"), ("litert", "model.t")])
def test_an_altered_artifact_is_said_at_load(small_bundle, runtime, path):
    for place in small_bundle.glob(f"{path}*"):
        place.write_bytes(place.read_bytes() + b"\0")
    with raises(BundleError, "E-BUNDLE-ALTERED", path):
        rnn_deploy.load(small_bundle, runtime)


def test_a_folder_that_is_no_bundle_is_said_at_load(tmp_path):
    with raises(BundleError, "E-BUNDLE-NO-MANIFEST", str(tmp_path)):
        rnn_deploy.load(tmp_path)


def test_runners_are_loaded_once(small_bundle):
    model = rnn_deploy.load(small_bundle, "ort-cpu")
    assert model.runner() is model.runner("sequence")


def test_a_model_says_what_it_is(small_bundle):
    with rnn_deploy.load(small_bundle, "litert") as model:
        assert (model.name, model.runtime) == ("small.keras", "litert")
        assert model.bundle.root == small_bundle
        assert {n: (t.shape, t.dtype) for n, t in model.inputs.items()} == {
            "x": (("batch", "time", 3), "float32")
        }
        assert list(model.outputs) == ["y"]
        assert {n: s.layer for n, s in model.states.items()} == {
            "first_h_in": "first",
            "second_h_in": "second",
        }
        for word in ("small.keras", "litert", "x float32(batch, time, 3)", "y float32"):
            assert word in repr(model)
        assert "closed" not in repr(model)
        for word in ("second_h_in", "(2, 4)"):
            assert word in repr(model.stream(2))
    assert "closed" in repr(model)


def test_a_model_without_a_stream_has_no_states():
    model = _several()
    assert (list(model.inputs), list(model.outputs), model.states) == (["a", "b"], ["p", "q"], {})


def test_verify_from_python_takes_names_and_passes(small_bundle):
    report = rnn_deploy.verify(small_bundle, ["ort-cpu"])
    assert report.passed
    assert {c.runtime for c in report.comparisons} == {"ort-cpu"}
    with pytest.raises(InputError, match="'zzz'"):
        rnn_deploy.verify(small_bundle, ["zzz"])


@pytest.mark.parametrize("runtime", ["ort-cpu", "openvino-cpu", "litert"])
def test_what_was_closed_says_so(small_bundle, x, runtime):
    model = rnn_deploy.load(small_bundle, runtime)
    batch = model.stream_batch()
    key = batch.join()
    runner, stream = model.runner(), model.stream(2)
    for _ in range(3):
        runner.run({"x": x})
    stream.step(x)
    model.close()
    calls = (
        lambda: model.predict(x),
        lambda: model.stream(),
        lambda: model.stream_batch(),
        lambda: runner.run({"x": x}),
        lambda: stream.step(x),
        lambda: batch.step({key: x[:1]}),
    )
    for call in calls:
        with raises(ClosedError, "E-RUNTIME-CLOSED"):
            call()
    model.close()  # once more does no harm


@pytest.mark.parametrize("runtime", ["ort-cpu", "openvino-cpu", "litert"])
def test_closing_during_a_call_of_another_thread_says_so(small_bundle, x, runtime):
    runner = rnn_deploy.load(small_bundle, runtime).runner()
    check = runner._check

    def closed_after_the_check(feeds):
        arrays = check(feeds)
        runner.close()
        return arrays

    runner._check = closed_after_the_check
    with raises(ClosedError, "E-RUNTIME-CLOSED"):
        runner.run({"x": x})


def test_a_stream_says_why_it_cannot_be_pickled(small_bundle):
    model = rnn_deploy.load(small_bundle)
    for stream in (model.stream(), model.stream_batch()):
        with raises(InputError, "E-STATE-NOT-PICKLED", type(stream).__name__):
            pickle.dumps(stream)


def test_a_closed_model_names_itself_and_the_bundle(small_bundle, x):
    with rnn_deploy.load(small_bundle) as model:
        model.predict(x)
    with raises(ClosedError, "E-RUNTIME-CLOSED", "'small.keras'", str(small_bundle)):
        model.predict(x)


def test_the_state_of_real_exports(small_keras, small_bundle, tmp_path, x):
    """Another lowering, and smaller weights: the same model. Other weights: another one."""
    forms = {"lowering": "scan", "quantize": "float16"}
    again = rnn_deploy.export(small_keras, tmp_path / "again", **forms, long=0)
    other = rnn_deploy.export(small_model(seed=5), tmp_path / "other", to="onnx", long=0)
    stream = rnn_deploy.load(small_bundle, "ort-cpu").stream(2)
    stream.step(x[:, :3])
    stream.save(tmp_path / "s.npz")
    expected = stream.step(x[:, 3:])
    for runtime, tolerance in (("ort-cpu", 1e-6), ("litert", 1e-2)):
        same = rnn_deploy.load(again, runtime).stream(2)
        same.restore(tmp_path / "s.npz")
        np.testing.assert_allclose(same.step(x[:, 3:]), expected, rtol=0, atol=tolerance)
    with raises(InputError, "E-STATE-OTHER-BUNDLE", "s.npz"):
        rnn_deploy.load(other, "ort-cpu").stream(2).restore(tmp_path / "s.npz")


@pytest.mark.parametrize("runtime", ["ort-cpu", "litert"])
def test_a_state_goes_on_in_the_same_model_and_in_no_other(small_bundle, tmp_path, x, runtime):
    """Another model of the same shapes: its states would fit, and mean something else."""
    data = json.loads((small_bundle / "manifest.json").read_text())
    data["source"]["digest"] = "0" * 64
    other = shutil.copytree(small_bundle, tmp_path / "other")
    (other / "manifest.json").write_text(json.dumps(data))
    data = json.loads((small_bundle / "manifest.json").read_text()) | {"notes": ["exported again"]}
    again = shutil.copytree(small_bundle, tmp_path / "again")
    (again / "manifest.json").write_text(json.dumps(data))

    stream = rnn_deploy.load(small_bundle, runtime).stream(2)
    stream.step(x[:, :3])
    stream.save(tmp_path / "s.npz")
    expected = stream.step(x[:, 3:])

    same = rnn_deploy.load(again, "ort-cpu").stream(2)
    same.restore(tmp_path / "s.npz")
    np.testing.assert_allclose(same.step(x[:, 3:]), expected, rtol=0, atol=1e-6)

    model = rnn_deploy.load(other, runtime)
    refused, batch = model.stream(2), model.stream_batch()
    refused.step(x)
    before = refused.state
    with raises(InputError, "E-STATE-OTHER-BUNDLE", "s.npz", "0" * 12):
        refused.restore(tmp_path / "s.npz")
    for name, value in before.items():
        np.testing.assert_array_equal(refused.state[name], value)
    with raises(InputError, "E-STATE-OTHER-BUNDLE", "s.npz"):
        batch.restore(tmp_path / "s.npz")
    assert batch.keys == ()
    refused.restore(tmp_path / "s.npz", any_bundle=True)
    np.testing.assert_array_equal(refused.step(x[:, 3:]), expected)
