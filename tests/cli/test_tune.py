"""`rnn-deploy tune`: what it writes, and what it refuses."""

import json

import keras
import numpy as np
import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.manifest import json_from_manifest
from rnn_deploy.inference.model import load
from rnn_deploy.perf.tuning import tune as module
from rnn_deploy.spec import EntryPoint, TensorSpec
from rnn_deploy.verifying import verify
from tests.support.models import randomised, small_model


@pytest.fixture
def steered(monkeypatch):
    """What is measured comes out as said: the first of these in a contender's name is fastest."""

    def steer(*names):
        real = module.side_by_side

        def measured(contenders, shapes, entry, **options):
            results = real(contenders, shapes, entry, **options | {"seconds": 0})
            return [module.replace(r, timing=fake(r, shapes[0])) for r in results]

        def fake(result, shape):
            name = names[0] if shape.batch == 1 else names[-1]
            us = 1.0 if result.contender == name else 2.0
            return module.replace(result.timing, median_us=us, by_round=(us,))

        monkeypatch.setattr(module, "side_by_side", measured)

    return steer


def test_what_wins_is_kept_with_a_plan_and_verified(
    command, small_bundle, small_keras, steered, tmp_path, x
):
    steered("ort-cpu", "ort-cpu, scan")
    place = tmp_path / "tuned"
    ended = command("tune", small_bundle, "--model", small_keras, "-o", place, "--shape", "1x4",
                    "--shape", "8x4", "--json")  # fmt: skip
    assert ended.code == 0, ended.err
    tuned = open_bundle(place)
    said = [(r["batch"], r["artifact"], r["gain"]) for r in json.loads(ended.out)["rules"]]
    assert said == [(1, "sequence.onnx", 1.0), (8, "variants/scan/sequence.onnx", 2.0)]
    assert [rule.artifact for rule in tuned.manifest.plan.rules] == [path for _, path, _ in said]
    paths = [a.path for a in tuned.manifest.artifacts if a.entry == "sequence"]
    assert paths == ["sequence.onnx", "model.tflite", "variants/scan/sequence.onnx"]
    assert "unrolled" not in ended.err.replace("unrolled-4", "")
    report = verify(tuned)
    assert report.passed
    assert "tuned" in {comparison.runtime for comparison in report.comparisons}
    plain = load(small_bundle, "ort-cpu")
    many = np.concatenate([x] * 4)
    np.testing.assert_allclose(load(place).predict(many), plain.predict(many), atol=1e-6)
    shown = command("inspect", place)
    assert "variants/scan/sequence.onnx" in shown.out
    # Tuned once more, what the plan names is not carried along.
    words = ["--model", small_keras, "-o", tmp_path / "again", "--shape", "1x4"]
    again = command("tune", place, *words)
    assert again.code == 0, again.err
    kept = open_bundle(tmp_path / "again").manifest
    assert not any("variants" in record.path for record in kept.files)
    assert not (tmp_path / "again" / "variants").exists()


def test_few_steps_are_written_out_for_their_number_alone(
    command, small_bundle, small_keras, steered, tmp_path, x
):
    steered("ort-cpu, unrolled-4", "ort-cpu")
    place = tmp_path / "tuned"
    words = ["--shape", "1x4", "--shape", "8x4", "--shape", "1x17"]
    ended = command("tune", small_bundle, "--model", small_keras, "-o", place, *words)
    assert ended.code == 0, ended.err
    tuned = open_bundle(place)
    said = [(r.batch, r.time, r.artifact, r.only_time) for r in tuned.manifest.plan.rules]
    assert said == [
        (1, 4, "variants/unrolled-4/sequence.onnx", True),
        (1, 4, "sequence.onnx", False),
        (8, 4, "sequence.onnx", False),
        (1, 17, "sequence.onnx", False),
    ]
    assert "1x4 only" in ended.err + ended.out
    assert "unrolled-17" not in ended.err
    followed, plain = load(place), load(small_bundle, "ort-cpu")
    for time in (1, 3, 4, 5):
        piece = np.concatenate([x, x], axis=1)[:1, :time]
        np.testing.assert_allclose(followed.predict(piece), plain.predict(piece), atol=1e-6)
    assert verify(tuned).passed


def test_states_that_the_model_file_does_not_hold_are_not_lost(command, tmp_path):
    from rnn_deploy import export

    x = keras.Input(batch_shape=(2, None, 3), name="x")
    model = randomised(keras.Model(x, keras.layers.GRU(4, stateful=True, name="gru")(x)))
    model.predict(np.ones((2, 5, 3), "f"), verbose=0)
    model.save(tmp_path / "m.keras")
    export(model, tmp_path / "b", to=("onnx",), state="keep", long=0)
    words = (tmp_path / "b", "--model", tmp_path / "m.keras")
    for verb in (("tune", *words, "-o", tmp_path / "t"), ("bench", *words, "--lowering", "scan")):
        command(*verb).refused(2, "E-BENCH-KEPT-STATE", "--state keep")


def test_a_batch_is_split_where_that_pays(
    command, small_bundle, small_keras, steered, tmp_path, x, monkeypatch
):
    steered("ort-cpu", "batch split")
    monkeypatch.setattr(module, "cores", lambda: 2)
    place = tmp_path / "tuned"
    words = ["--shape", "1x4", "--shape", "8x4", "--shape", "stream=8x1"]
    ended = command("tune", small_bundle, "--model", small_keras, "-o", place, *words)
    assert ended.code == 0, ended.err
    rules = open_bundle(place).manifest.plan.rules
    assert [(r.batch, r.session, r.gain) for r in rules] == [
        (1, (), 1.0), (8, (("batch", "split"),), 2.0), (8, (("batch", "split"),), 2.0)
    ]  # fmt: skip
    assert verify(open_bundle(place)).passed
    plain = load(small_bundle, "ort-cpu")
    many = np.concatenate([x] * 4)
    np.testing.assert_allclose(load(place).predict(many), plain.predict(many), atol=1e-6)
    assert "batch split" in command("inspect", place).out


def test_a_batch_that_cannot_be_cut_is_never_split(small_bundle, monkeypatch):
    monkeypatch.setattr(module, "cores", lambda: 2)
    bundle = open_bundle(small_bundle)
    fixed = EntryPoint("sequence", (TensorSpec("x", (8, "time", 3), "float32"),), ())
    for entry, split in ((bundle.manifest.entry("sequence"), True), (fixed, False)):
        settings = dict(module._settings("ort-cpu", entry, module.Shape(8, 4)))
        assert settings.pop("batch", None) == ("split" if split else None)
        assert settings == {"spinning": "off", "arena": "off", "optimisation": "basic"}


def test_a_plan_that_was_made_elsewhere_is_reported(command, small_bundle, tmp_path, x):
    from rnn_deploy.bundle.plan import PlanRule, TunedPlan

    bundle = open_bundle(small_bundle)
    rule = PlanRule("sequence", 1, 1, "ort-cpu", "sequence.onnx", 1.0, 1.0)
    plan = TunedPlan("a machine", 999, {"ort-cpu": "0.1"}, (rule,))
    text = json_from_manifest(module.replace(bundle.manifest, plan=plan))
    (small_bundle / "manifest.json").write_text(text)
    np.save(tmp_path / "x.npy", x)
    for words in (["inspect", small_bundle], ["run", small_bundle, "--inputs", tmp_path / "x.npy"]):
        ended = command(*words)
        assert ended.code == 0
        assert "may no longer be the fastest (made on a machine" in ended.err
        assert "made with ort-cpu 0.1" in ended.err


def test_mistakes_are_refused(command, small_bundle, small_keras, tmp_path):
    small_model(seed=5).save(tmp_path / "other.keras")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine").write_text("")
    out = ["-o", tmp_path / "t"]
    for words, code, name in (
        (["--model", tmp_path / "other.keras", *out], "E-VERIFY-OTHER-MODEL", "other.keras"),
        (["--model", small_keras, "-o", tmp_path / "there"], "E-OPTION-", "there"),
        (["--model", small_keras, *out, "--shape", "3"], "E-OPTION-SHAPE", "--shape 3"),
        (["--model", small_keras, *out, "--shape", "step=1x1"], "E-OPTION-SHAPE-ENTRY", "'step'"),
        (["--model", small_keras, *out, "--seconds", "nan"], "E-OPTION-SECONDS", "--seconds nan"),
    ):
        command("tune", small_bundle, *words).refused(2, code, name)
    assert not (tmp_path / "t").exists()


def test_a_plan_for_a_runtime_that_is_not_here_is_said_in_one_line(capfd, monkeypatch):
    from rnn_deploy.bundle.plan import PlanRule, TunedPlan
    from rnn_deploy.cli import plans

    rules = [
        PlanRule("sequence", 1, n, r, "m", 1.0, 1.0) for n, r in ((1, "litert"), (9, "ort-cpu"))
    ]
    plan = TunedPlan("m", 1, {}, tuple(rules))

    class Missing:
        def why_unavailable(self):
            return "not installed"

    monkeypatch.setitem(plans.RUNTIMES, "litert", Missing())
    plans.report_misfits("b", plan)
    (line,) = capfd.readouterr().err.splitlines()
    for word in ("1 of 2 shapes", "litert", "not installed"):
        assert word in line
    plans.report_misfits("b", None)
    assert capfd.readouterr().err == ""
