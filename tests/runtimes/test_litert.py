import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.store import MANIFEST
from rnn_deploy.errors import BundleError, InputError, RuntimeUnavailableError
from rnn_deploy.inference.stream import run_in_chunks
from rnn_deploy.runtimes import litert as module
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.registry import RUNTIMES
from tests.support.errors import raises


def _load(root, entry="sequence", runtime="litert", **options):
    return RUNTIMES[runtime].load(open_bundle(root), RunOptions(entry, **options))


@pytest.fixture(scope="module")
def pair(_small_bundle):
    """The stream entry point of the small model on LiteRT and on ONNX Runtime."""
    return [_load(_small_bundle, "stream", runtime) for runtime in ("litert", "ort-cpu")]


@given(st.integers(1, 4), st.integers(1, 7), st.integers(0, 99), st.booleans())
@settings(max_examples=20, deadline=None)
def test_one_runner_takes_every_shape_in_any_order(pair, batch, time, seed, states):
    rng = np.random.default_rng(seed)
    feeds = {"x": rng.standard_normal((batch, time, 3)).astype("f")}
    if states:
        feeds["first_h_in"] = rng.standard_normal((batch, 5)).astype("f")
        feeds["second_h_in"] = rng.standard_normal((batch, 4)).astype("f")
    ours, theirs = (runner.run(feeds) for runner in pair)
    assert set(ours) == {"y", "first_h_out", "second_h_out"}
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=0, atol=2e-6, strict=True)


@pytest.mark.parametrize(
    "made",
    [
        np.asfortranarray,
        lambda x: x[:, ::-1][:, ::-1],
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    ],
    ids=["fortran", "negative strides", "gaps", "read-only"],
)
@pytest.mark.parametrize("index", [0, 1], ids=["litert", "ort-cpu"])
def test_memory_layout_does_not_change_the_answer(pair, x, made, index):
    expected = pair[index].run({"x": x.copy()})
    for name, value in pair[index].run({"x": made(x)}).items():
        np.testing.assert_array_equal(value, expected[name], strict=True)


@pytest.mark.parametrize("index", [0, 1], ids=["litert", "ort-cpu"])
def test_a_later_call_does_not_change_an_earlier_answer_or_its_inputs(pair, x, index):
    given_x = x.copy()
    first = pair[index].run({"x": given_x})
    kept = {name: value.copy() for name, value in first.items()}
    pair[index].run({"x": 2 * x})
    for name, value in first.items():
        np.testing.assert_array_equal(value, kept[name])
    np.testing.assert_array_equal(given_x, x)


@pytest.mark.parametrize("bad", [7, -8, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("entry", ["sequence", "stream"])
def test_a_token_outside_the_vocabulary_is_refused(token_bundle, bad, entry):
    with raises(InputError, "E-INPUT-VOCABULARY", "'ids'", str(bad), "0 to 6"):
        _load(token_bundle, entry).run({"ids": np.array([[0, bad]], np.int32)})


def test_wrong_feeds_are_refused_and_the_runner_lives_on(small_bundle, x):
    runner = _load(small_bundle)
    expected = runner.run({"x": x})["y"]
    for bad in (x[..., :2], x[:0], x[:, :0], x[0], x.astype("d")):
        with pytest.raises(InputError, match="'x'"):
            runner.run({"x": bad})
    np.testing.assert_array_equal(runner.run({"x": x})["y"], expected)


def test_one_sequence_of_another_rank_is_refused_though_the_interpreter_might_take_it(
    small_bundle, x
):
    runner = _load(small_bundle)
    one = x[:1]
    for bad in (one[0], one[None], one[0, 0]):
        with raises(InputError, "E-INPUT-RANK", "'x'"):
            runner.run({"x": bad})
    with raises(InputError, "E-INPUT-EMPTY", "'x'", "axis 1"):
        runner.run({"x": one[:, :0]})


def test_a_single_step_of_a_stream_is_asked_of_its_own_signature(small_bundle, x):
    runner = _load(small_bundle, "stream")
    requested = []
    make = runner._interpreter

    class Noting:
        def __init__(self):
            self.real = make()

        def get_signature_runner(self, name):
            requested.append(name)
            return self.real.get_signature_runner(name)

    runner._interpreter, runner._next = Noting, None
    for steps in (6, 1, 1, 2):
        runner.run({"x": x[:, :steps]})
    assert requested == ["stream", "step", "stream"]
    assert "step" not in {entry.name for entry in open_bundle(small_bundle).manifest.entries}
    _load(small_bundle).run({"x": x[:, :1]})


def test_steps_one_by_one_give_what_the_whole_gives(small_bundle, x):
    runner = _load(small_bundle, "stream")
    whole = runner.run({"x": x})
    found = run_in_chunks(runner, {"x": x}, [1] * x.shape[1])
    for name, value in whole.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=2e-6, strict=True)


def test_nan_stays_in_its_sequence(small_bundle, x):
    runner = _load(small_bundle)
    expected = runner.run({"x": x})["y"]
    spoilt = x.copy()
    spoilt[0, 3, 1] = np.nan
    y = runner.run({"x": spoilt})["y"]
    assert np.isnan(y[0, 3:]).all()
    np.testing.assert_allclose(y[0, :3], expected[0, :3], rtol=0, atol=1e-6)
    np.testing.assert_allclose(y[1], expected[1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_do_not_change_the_answer(small_bundle, x, threads):
    expected = _load(small_bundle).run({"x": x})["y"]
    y = _load(small_bundle, threads=threads).run({"x": x})["y"]
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6)


def test_one_flipped_bit_never_reaches_the_interpreter(small_bundle):
    place = small_bundle / "model.tflite"
    content = bytearray(place.read_bytes())
    content[len(content) // 2] ^= 1
    place.write_bytes(content)
    with raises(BundleError, "E-BUNDLE-ALTERED", "model.tflite"):
        _load(small_bundle)


def _replace(root, content):
    (root / "model.tflite").write_bytes(content)
    data = json.loads((root / MANIFEST).read_text())
    record = next(r for r in data["files"] if r["path"] == "model.tflite")
    record |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (root / MANIFEST).write_text(json.dumps(data))


def test_a_file_that_is_no_tflite_is_refused_in_one_line(small_bundle):
    _replace(small_bundle, b"junk" * 100)
    with raises(RuntimeUnavailableError, "E-RUNTIME-LOAD", "'litert'", "model.tflite"):
        _load(small_bundle)


def test_another_model_s_tflite_is_refused_in_one_line(small_bundle, token_bundle, x):
    _replace(small_bundle, (token_bundle / "model.tflite").read_bytes())
    with raises(InputError, "E-INPUT-REFUSED", "LiteRT", "name"):
        _load(small_bundle).run({"x": x})


def test_options_and_missing_artifacts_are_refused(small_bundle):
    with raises(InputError, "E-OPTION-PROVIDER", "--option a", "litert"):
        _load(small_bundle, provider=(("a", "b"),))
    data = json.loads((small_bundle / MANIFEST).read_text())
    data["artifacts"] = [a for a in data["artifacts"] if a["format"] != "tflite"]
    (small_bundle / MANIFEST).write_text(json.dumps(data))
    with raises(InputError, "E-BUNDLE-NO-ARTIFACT", "--to tflite"):
        _load(small_bundle)


def test_litert_that_is_not_installed_is_refused_with_the_pip_line(small_bundle, monkeypatch):
    monkeypatch.setattr(module, "is_installed", lambda package: False)
    with raises(RuntimeUnavailableError, "E-RUNTIME-UNAVAILABLE", "'litert'", "[litert]"):
        _load(small_bundle)


def test_a_change_of_shapes_does_not_change_answers(tmp_path):
    """With one interpreter for all shapes, one round in some ten was wrong."""
    import rnn_deploy
    from rnn_deploy.conformance.layers import layer
    from tests.support.models import randomised

    keras = pytest.importorskip("keras")
    x = keras.Input((None, 2), name="x")
    _, *states = layer("encoder", 2, "LSTM", activation="softmax", return_state=True)(x)
    y = layer("decoder", 2, "LSTM", activation="softmax", return_sequences=True)(
        x, initial_state=states
    )
    model = randomised(keras.Model(x, layer("last", 2, return_sequences=True)(y)), 1065, 0.3)
    bundle = rnn_deploy.export(model, tmp_path / "b", to=("tflite",))
    verdicts = [rnn_deploy.verify(bundle, ["litert"]).verdict for _ in range(60)]
    assert {verdict.split(":")[0] for verdict in verdicts} == {"passed"}, verdicts


def test_few_interpreters_are_kept(small_bundle, x):
    runner = _load(small_bundle)
    for steps in range(1, module.MOST_SHAPES + 4):
        expected = _load(small_bundle).run({"x": x[:, :1].repeat(steps, axis=1)})["y"]
        found = runner.run({"x": x[:, :1].repeat(steps, axis=1)})["y"]
        np.testing.assert_array_equal(found, expected)
    assert len(runner._signatures) == module.MOST_SHAPES
