"""Costs by shape, and what `auto` makes of them."""

import dataclasses

import numpy as np
import pytest

from rnn_deploy.errors import InputError
from rnn_deploy.onnx.choice import OnnxLoweringRequest, choices_of, choose
from rnn_deploy.onnx.costs import COSTS, CallSize, features, gain, microseconds
from rnn_deploy.onnx.expected import USUAL, asked_from, check_entries, expected_of
from rnn_deploy.spec import SEQUENCE, STREAM, EntryPoint, TensorSpec
from rnn_deploy.spec.shapes import Shape
from tests.support.layers import layer_of

RNG = np.random.default_rng(0)
ONE, MANY = (Shape(1, 100),), (Shape(32, 100),)


def entry_of(name=SEQUENCE, shape=("batch", "time", 3)):
    return EntryPoint(name, (TensorSpec("x", shape, "float32"),), ())


def chosen(expected, entry=SEQUENCE, wished=None, **changes):
    return choose(layer_of(RNG, **changes), wished or OnnxLoweringRequest(), entry, expected)


@pytest.mark.parametrize(
    ("changes", "one", "many"),
    [
        ({"units": 2}, "native", "native"),
        ({"units": 4}, "native", "scan"),
        ({"units": 64}, "native", "scan"),
        ({"units": 64, "masked": True}, "native", "scan"),
        ({"units": 64, "cell": "gru"}, "native", "native"),
        ({"units": 256, "cell": "lstm"}, "native", "native"),
        ({"units": 64, "cell": "lstm", "masked": True}, "native", "native"),
    ],
)
def test_auto_takes_what_was_measured_to_be_faster(changes, one, many):
    assert chosen(ONE, **changes).lowering == one
    assert chosen(MANY, **changes).lowering == many


def test_the_reason_says_what_was_expected_and_what_it_gains():
    choice = chosen(MANY, units=64)
    assert choice.reason.endswith("takes any activation; one product for the inputs of all steps")
    factor, rest = choice.reason.split(" times as fast as native at ")
    assert rest.startswith("32x100 (batch x time, expected); ")
    assert float(factor) == pytest.approx(
        gain(layer_of(RNG, units=64), "scan", "native", MANY), 0.1
    )


def test_without_an_expectation_the_first_that_can_is_taken():
    assert chosen((), units=64).lowering == "native"


def test_costs_of_onnx_runtime_decide_for_onnx_runtime_only():
    assert (
        chosen(MANY, wished=OnnxLoweringRequest(target="openvino"), units=64).lowering == "native"
    )


def test_steps_that_a_layer_fixes_count_and_not_those_expected():
    short = dataclasses.replace(layer_of(RNG, units=512), steps=1)
    assert microseconds(short, "scan", Shape(4, 100)) == microseconds(short, "scan", Shape(4, 1))


def test_within_a_time_distributed_every_step_is_a_sequence():
    layer = layer_of(RNG, units=8)
    within = dataclasses.replace(layer, within_step=True)
    assert microseconds(within, "scan", Shape(4, 10)) == microseconds(layer, "scan", Shape(40, 10))


def test_a_gain_is_the_geometric_mean_over_the_shapes():
    layer = layer_of(RNG, units=16)
    alone = [gain(layer, "scan", "native", shapes) for shapes in (ONE, MANY)]
    assert gain(layer, "scan", "native", ONE + MANY) == pytest.approx((alone[0] * alone[1]) ** 0.5)
    assert alone[0] < 1 < alone[1]
    assert gain(layer, "unrolled", "native", ONE) is None


def test_every_kind_has_both_lowerings_and_a_coefficient_for_each_feature():
    count = len(features("scan", CallSize(1, 4, 3, 2, 5)))
    kinds = {kind[:3] for kind in COSTS}
    assert set(COSTS) == {(*kind, name) for kind in kinds for name in ("native", "scan")}
    for coefficients in COSTS.values():
        assert len(coefficients) == count
        assert min(coefficients) >= 0


def test_what_is_expected_is_the_usual_what_is_asked_or_what_the_model_fixes():
    asked = asked_from(["8x20", "stream=64x1", "2x9"])
    assert expected_of(entry_of(), {}) == USUAL[SEQUENCE]
    assert expected_of(entry_of(), asked) == (Shape(8, 20), Shape(2, 9))
    assert expected_of(entry_of(STREAM), asked) == (Shape(64, 1),)
    assert expected_of(entry_of(shape=(7, 5, 3)), {}) == (Shape(7, 5),)
    with pytest.raises(InputError, match="--expect 8x20: the model takes steps 5, not 20"):
        expected_of(entry_of(shape=("batch", 5, 3)), asked)


def test_a_batch_that_the_model_fixes_decides():
    layer = layer_of(RNG, units=64)
    calls = [(layer,)]
    at_32, at_1 = (entry_of(shape=(n, "time", 3)) for n in (32, 1))
    assert choices_of(calls, OnnxLoweringRequest(), at_32)[0].lowering == "scan"
    assert choices_of(calls, OnnxLoweringRequest(), at_1)[0].lowering == "native"
    assert (
        choices_of(calls, OnnxLoweringRequest(expect=asked_from(["1x9"])), entry_of())[0].lowering
        == "native"
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: asked_from(["many"]), "--expect many: expected BATCHxTIME"),
        (lambda: asked_from(["step=1x1"]), "--expect step=1x1: no entry point 'step', only seq"),
        (lambda: check_entries(asked_from(["stream=2x1"]), [SEQUENCE]), "has no 'stream'"),
        (lambda: OnnxLoweringRequest("scan", expect=asked_from(["1x1"])), "nothing is left to it"),
        (
            lambda: OnnxLoweringRequest(target="portable", expect=asked_from(["1x1"])),
            "costs are known of --target ort only",
        ),
    ],
)
def test_an_expectation_that_decides_nothing_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
