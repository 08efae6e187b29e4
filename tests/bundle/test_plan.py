"""A plan: which rule a shape follows, and when it no longer fits."""

import dataclasses
import json

import pytest

from rnn_deploy.bundle.decoding import decoded
from rnn_deploy.bundle.plan import PlanRule, TunedPlan, nearest


def rule(batch, time, **changes):
    facts = {"entry": "sequence", "runtime": "ort-cpu", "artifact": "sequence.onnx"}
    return PlanRule(batch=batch, time=time, median_us=1.0, gain=1.0, **facts | changes)


RULES = (rule(1, 10), rule(1, 100), rule(32, 100, session=(("arena", "off"),), threads=1))
PLAN = TunedPlan("a machine", 4, {"ort-cpu": "1.32.0"}, RULES)


@pytest.mark.parametrize(
    ("batch", "time", "expected"),
    [(1, 10, 0), (1, 30, 0), (1, 33, 1), (1, 10_000, 1), (5, 100, 1), (6, 100, 2), (4096, 1, 2)],
)
def test_the_nearest_rule_as_ratios_is_followed(batch, time, expected):
    assert nearest(RULES, batch, time) is RULES[expected]


def test_a_rule_of_one_time_alone_is_followed_at_that_time_only():
    any_time = rule(8, 10)
    rules = (rule(8, 10, artifact="written-out.onnx", only_time=True), any_time)
    for batch, time, followed in ((8, 10, 0), (1, 10, 0), (500, 10, 0), (8, 9, 1), (8, 11, 1)):
        assert nearest(rules, batch, time) is rules[followed]


def test_a_plan_comes_back_from_json():
    assert decoded(TunedPlan, json.loads(json.dumps(dataclasses.asdict(PLAN)))) == PLAN


def test_what_is_not_as_it_was_is_named():
    assert PLAN.misfits("a machine", 4, {"ort-cpu": "1.32.0"}) == []
    assert PLAN.misfits("another", 2, {"ort-cpu": None}) == [
        "made on a machine, this is another",
        "made with 4 cores, here are 2",
        "made with ort-cpu 1.32.0, here is none",
    ]
