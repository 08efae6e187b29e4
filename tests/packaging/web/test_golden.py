"""Golden vectors as the page reads them."""

import base64

import numpy as np

from rnn_deploy.bundle import GoldenCase
from rnn_deploy.packaging.web.golden import MOST_NUMBERS, chosen, golden_json, tensor_json
from rnn_deploy.spec import STREAM, EntryPoint, Support, TensorSpec
from rnn_deploy.verifying.judge.tolerance import Budgets, UserTolerance, derive_budgets

X, Y = (TensorSpec(name, ("batch", "time", 2), "float32") for name in "xy")
ENTRY = EntryPoint(STREAM, (X,), (Y,), chunked=Support(True))


def case(name, steps=3, *, entries=(STREAM,), **facts):
    x = np.random.default_rng(steps).standard_normal((1, steps, 2)).astype(np.float32)
    y = {"y": x.astype(np.float64)}
    return GoldenCase(name, entries, facts.pop("chunks", (steps,)), {"x": x}, {"y": x}, y, **facts)


def test_a_tensor_keeps_every_bit():
    value = np.array([[np.nan, -0.0], [np.inf, 1e-42]], np.float32)
    found = tensor_json(value)
    assert found["dtype"] == "float32"
    back = np.frombuffer(base64.b64decode(found["data"]), "<f4").reshape(found["shape"])
    assert back.tobytes() == value.tobytes()


def test_special_and_foreign_and_large_cases_are_left_out():
    plain, small = case("plain"), case("small", 2)
    large = case("large", MOST_NUMBERS)
    others = [case("nan", check="extremes"), case("w", entries=("sequence",)), large]
    assert chosen(ENTRY, [plain, *others, small]) == [plain, small]


def test_a_page_has_at_least_the_smallest_case():
    large, larger = case("large", MOST_NUMBERS), case("larger", MOST_NUMBERS + 1)
    assert chosen(ENTRY, [larger, large]) == [large]
    assert chosen(ENTRY, [case("nan", check="extremes")]) == []


def test_budgets_and_ways_to_run_are_written():
    cases = [case("plain"), case("whole", chunks=())]
    budgets = derive_budgets(lambda: cases, {"y": "float32"}, UserTolerance(atol={"y": 0.25}))
    assert isinstance(budgets, Budgets)
    plain, whole = golden_json(ENTRY, cases, budgets)["cases"]
    assert (plain["by_steps"], whole["by_steps"]) == (True, False)
    assert plain["budgets"] == {"y": {"atol": 0.25, "decisive": True}}
    assert set(plain["feeds"]) == {"x"}
    assert plain["truth"]["y"]["dtype"] == "float64"
