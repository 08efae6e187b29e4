"""A tuned bundle holds all that the bundle held, and of a variant all that it needs."""

import numpy as np

import rnn_deploy
from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.plan import PlanRule, TunedPlan
from rnn_deploy.perf.tuning.write import write


def test_nothing_is_lost_and_a_stream_brings_its_one_step_along(small_bundle, tmp_path, x):
    bundle = open_bundle(small_bundle)
    rule = PlanRule("stream", 1, 1, "ort-cpu", "variants/other/stream.onnx", 1.0, 1.0)
    plan = TunedPlan("here", 2, {"ort-cpu": "1"}, (rule,))
    tuned = write(bundle, {"other": bundle}, plan, tmp_path / "tuned", force=False)
    before, after = ({r.path for r in b.manifest.files} for b in (bundle, tuned))
    assert before | {"variants/other/stream.onnx", "variants/other/step.onnx"} == after
    for path in after:
        tuned.checked(path)
    stream = rnn_deploy.load(tuned).stream()
    expected = rnn_deploy.load(bundle, "ort-cpu").stream()
    for t in range(3):
        step = x[:1, t : t + 1]
        np.testing.assert_allclose(stream.step(step), expected.step(step), atol=1e-6)
