"""The runtime that follows a plan: each shape by its rule, and the same answers as without."""

from dataclasses import replace

import numpy as np
import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.manifest import json_from_manifest
from rnn_deploy.bundle.plan import PlanRule, TunedPlan
from rnn_deploy.errors import BundleError, InputError, RuntimeUnavailableError
from rnn_deploy.inference.model import load
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.fake import FakeRuntime
from rnn_deploy.runtimes.registry import RUNTIMES, default_runtime, runtimes_for
from rnn_deploy.runtimes.tuned import TunedRuntime
from rnn_deploy.spec import TensorSpec
from tests.support.errors import raises


def rule(entry, batch, time, runtime="ort-cpu", artifact=None, **how):
    path = artifact or ("model.tflite" if runtime == "litert" else f"{entry}.onnx")
    return PlanRule(entry, batch, time, runtime, path, 1.0, 1.0, **how)


@pytest.fixture
def planned(small_bundle):
    """The small bundle with a plan of these rules."""

    def with_rules(*rules):
        bundle = open_bundle(small_bundle)
        plan = TunedPlan("a machine", 1, {}, rules)
        text = json_from_manifest(replace(bundle.manifest, plan=plan))
        (small_bundle / "manifest.json").write_text(text)
        return open_bundle(small_bundle)

    return with_rules


def test_each_shape_runs_by_its_rule():
    requested = []

    class Noting(FakeRuntime):
        def load(self, bundle, options):
            requested.append((self.name, options))
            return super().load(bundle, options)

    here = {name: Noting(lambda e, f, n=name: {"by": n}, name) for name in ("a", "b")}
    bundle = bundle_like(
        rule("sequence", 1, 10, "a", "one.onnx", threads=1),
        rule("sequence", 32, 10, "b", "two.onnx", session=(("arena", "off"),)),
    )
    runner = TunedRuntime(here).load(bundle, RunOptions())
    for batch, name in ((1, "a"), (64, "b"), (2, "a"), (64, "b")):
        x = np.zeros((batch, 10, 3), np.float32)
        assert runner.run({"x": x})["by"] == name
    assert [(name, o.artifact, o.threads, o.session) for name, o in requested] == [
        ("a", "one.onnx", 1, ()),
        ("b", "two.onnx", None, (("arena", "off"),)),
    ]


def test_without_a_rule_for_any_number_of_steps_the_plan_is_not_followed(planned, x):
    fixed = rule("sequence", 1, 5, only_time=True)
    elsewhere = rule("sequence", 1, 5, "nowhere")
    plain = load(planned(), "ort-cpu").predict(x)
    assert x.shape[1] != 5
    np.testing.assert_allclose(load(planned(fixed, elsewhere)).predict(x), plain, atol=1e-6)


def test_the_steps_are_those_of_the_input_that_has_some():
    static = TensorSpec("static", ("batch", 4), "float32")
    here = {name: FakeRuntime(lambda e, f, n=name: {"by": n}, name) for name in ("a", "b")}
    rules = rule("sequence", 1, 4, "a", only_time=True), rule("sequence", 1, 4, "b")
    runner = TunedRuntime(here).load(bundle_like(*rules, beside=(static,)), RunOptions())
    for time, name in ((4, "a"), (9, "b"), (1, "b")):
        feeds = {"static": np.zeros((1, 4), np.float32), "x": np.zeros((1, time, 3), np.float32)}
        assert runner.run(feeds)["by"] == name


def bundle_like(*rules, beside=()):
    from rnn_deploy.bundle import Bundle, Manifest, ModelSource
    from rnn_deploy.spec import EntryPoint

    x = TensorSpec("x", ("batch", "time", 3), "float32")
    entry = EntryPoint("sequence", (*beside, x), ())
    plan = TunedPlan("a machine", 1, {}, rules)
    source = ModelSource(".keras", "m", "0")
    return Bundle(None, Manifest(source, (entry,), (), "g.npz", (), {}, plan=plan), "0")


SETTINGS = (("spinning", "off"), ("arena", "off"), ("optimisation", "basic"))


def test_the_answers_are_those_of_the_bundle(planned, x):
    plain = load(planned(), "ort-cpu")
    rules = [rule("sequence", 2, 6, session=(one,)) for one in SETTINGS]
    for one in [*rules, rule("sequence", 2, 6, "litert"), rule("sequence", 9, 9, threads=2)]:
        tuned = load(planned(one))
        assert tuned.runtime == "tuned"
        np.testing.assert_allclose(tuned.predict(x), plain.predict(x), atol=1e-6)


def test_a_stream_follows_the_plan_and_stays_in_place(planned, x):
    plain = load(planned(), "ort-cpu").stream(2)
    tuned = load(planned(rule("stream", 1, 1, session=SETTINGS[:1]))).stream(2)
    for t in (0, 1, 2, 3):
        a, b = (stream.step(x[:, t : t + 1]) for stream in (tuned, plain))
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert tuned._bound is not None


def test_an_entry_point_without_a_rule_runs_as_without_a_plan(planned, x):
    tuned = load(planned(rule("sequence", 1, 1)))
    assert tuned.stream(2).step(x).shape == (2, 6, 2)


def test_a_bundle_with_a_plan_is_run_by_it(planned):
    assert default_runtime(planned(rule("sequence", 1, 1))).name == "tuned"
    assert runtimes_for(planned(rule("sequence", 1, 1)))[0][0].name == "tuned"


def test_wrong_inputs_are_refused_as_by_the_runtime(planned, x):
    model = load(planned(rule("sequence", 1, 1), rule("sequence", 9, 9)))
    for feeds, code in (
        ({"x": x[0]}, "E-INPUT-RANK"),
        ({"x": x[:0]}, "E-INPUT-EMPTY"),
        ({"x": np.float32(1)}, "E-INPUT-RANK"),
        ({}, "E-INPUT-MISSING"),
    ):
        with raises(InputError, code, "'x'"):
            model.predict(feeds)


@pytest.mark.parametrize(
    ("one", "options", "error", "names"),
    [
        (
            rule("sequence", 1, 1, artifact="other.onnx"), {},
            InputError, ["E-BUNDLE-NO-ARTIFACT", "'other.onnx'"],
        ),
        (
            rule("sequence", 1, 1, session=(("arena", "big"),)), {},
            BundleError, ["E-BUNDLE-PLAN", "arena=big"],
        ),
        (
            rule("sequence", 1, 1, "litert", session=SETTINGS), {},
            InputError, ["E-BUNDLE-PLAN", "litert"],
        ),
        (rule("sequence", 1, 1), {"threads": 2}, InputError, ["E-OPTION-TUNED", "--runtime"]),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_followed_is_refused(planned, one, options, error, names):
    bundle = planned(one)
    with raises(error, *names):
        default_runtime(bundle).load(bundle, RunOptions(**options))


def test_a_rule_for_a_runtime_that_is_not_here_is_passed_over(planned, x, monkeypatch):
    gone = FakeRuntime(dict, "gone")
    monkeypatch.setattr(FakeRuntime, "why_unavailable", lambda self: "it is gone")
    bundle = planned(rule("sequence", 1, 1, "gone"))
    with raises(RuntimeUnavailableError, "E-RUNTIME-NONE"):
        TunedRuntime({"gone": gone}).load(bundle, RunOptions())
    assert load(bundle).predict(x).shape == (2, 6, 2)


def test_without_a_plan_it_says_how_to_get_one(small_bundle):
    with raises(InputError, "E-BUNDLE-NO-PLAN", "rnn-deploy tune"):
        load(small_bundle, "tuned")


def test_what_was_closed_is_not_loaded_again(planned, x):
    runner = load(planned(rule("sequence", 1, 1))).runner()
    runner.close()
    with raises(InputError, "E-RUNTIME-CLOSED"):
        runner.run({"x": x})


def test_the_file_that_a_shape_runs_by_is_that_of_its_rule(planned):
    bundle = planned(rule("stream", 1, 1), rule("stream", 64, 10, "litert"))
    tuned = TunedRuntime(RUNTIMES)

    def ran(batch, time, **options):
        shapes = {"x": (batch, time, 3)}
        return tuned.file_of(bundle, RunOptions("stream", **options), shapes)

    assert ran(1, 1) == "step.onnx on ort-cpu"
    assert ran(1, 1, step_form=False) == "stream.onnx on ort-cpu"
    assert ran(1, 2) == "stream.onnx on ort-cpu"
    assert ran(64, 10) == "model.tflite, signature stream on litert"
