"""Which lowering a layer gets, and the reason that is given."""

import numpy as np
import pytest

from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.onnx.choice import (
    AUTO,
    ONNX_LOWERINGS,
    OnnxLoweringRequest,
    choices_of,
    choose,
    wishes,
)
from rnn_deploy.onnx.unrolled import MOST_STEPS
from rnn_deploy.spec import SEQUENCE, STREAM, EntryPoint, TensorSpec
from tests.support.layers import layer_of

ENTRY = EntryPoint(SEQUENCE, (TensorSpec("x", ("batch", "time", 3), "float32"),), ())


def choice_of(requested=AUTO, entry=SEQUENCE, **changes):
    return choose(
        layer_of(np.random.default_rng(0), **changes), OnnxLoweringRequest(requested), entry
    )


@pytest.mark.parametrize("entry", [SEQUENCE, STREAM])
def test_auto_takes_the_operator_every_runtime_knows(entry):
    choice = choice_of(entry=entry)
    assert (choice.layer, choice.cell, choice.units) == ("rnn", "simple_rnn", 4)
    assert choice.lowering == "native"
    assert choice.reason == "one operator, which every ONNX runtime knows"


@pytest.mark.parametrize("activation", ["silu", "mish", "selu", "relu6", "exponential"])
def test_auto_goes_on_where_the_operator_lacks_the_activation_and_says_so(activation):
    choice = choice_of(activation=activation)
    assert choice.lowering == "scan"
    assert f"not native: the operator RNN has no activation '{activation}'" in choice.reason


@pytest.mark.parametrize("requested", ONNX_LOWERINGS)
def test_what_is_asked_for_is_taken(requested):
    choice = choice_of(requested, steps=5)
    assert choice.lowering == requested
    assert choice.reason.startswith("asked for; ")


@pytest.mark.parametrize(
    ("requested", "changes", "message"),
    [
        ("native", {"activation": "silu"}, r"'rnn': lowering 'native' cannot express it: .*'silu'"),
        ("unrolled", {}, r"needs a fixed number of steps, and time is open; add --time N"),
        ("unrolled", {"steps": MOST_STEPS + 1}, rf"{MOST_STEPS + 1} steps are too many"),
        (
            "unrolled",
            {"steps": 3, "activation": "softmax"},
            r"no ONNX operators are known for 'softmax'",
        ),
        ("scan", {"activation": "softmax"}, r"no ONNX operators are known for 'softmax'"),
        (AUTO, {"activation": "softmax"}, r"no lowering: not native: .*not scan: .*not unrolled: "),
    ],
)
def test_what_cannot_be_expressed_is_refused_with_the_reason(requested, changes, message):
    with pytest.raises(UnsupportedModelError, match=message):
        choice_of(requested, **changes)


def test_unrolled_gives_way_in_a_stream_of_open_length_and_says_so():
    choice = choice_of("unrolled", entry=STREAM)
    assert choice.lowering == "native"
    assert choice.reason.startswith("not unrolled, since a chunk may have any length; ")


def test_an_unknown_lowering_is_a_mistake_of_the_user():
    with pytest.raises(InputError, match="no lowering 'fused'; there are auto, native, scan, unr"):
        choice_of("fused")


def layers(**by_name):
    rng = np.random.default_rng(0)
    return [(layer_of(rng, name=name, **changes),) for name, changes in by_name.items()]


def test_single_layers_are_lowered_as_asked_and_the_rest_as_asked_for_all():
    calls = layers(a={}, b={}, c={})
    chosen = choices_of(calls, wishes({"b": "scan", "*": "native"}, "ort"), ENTRY)
    assert [(c.layer, c.lowering) for c in chosen] == [
        ("a", "native"),
        ("b", "scan"),
        ("c", "native"),
    ]
    assert choices_of(calls, wishes("scan", "ort"), ENTRY)[0].lowering == "scan"
    assert choices_of(calls, wishes({"b": "scan"}, "ort"), ENTRY)[0].reason.startswith("one op")


def test_a_layer_that_there_is_not_is_a_mistake_of_the_user():
    with pytest.raises(InputError, match="no recurrent layer 'z' to lower; there are a, b"):
        choices_of(layers(a={}, b={}), wishes({"z": "scan"}, "ort"), ENTRY)


@pytest.mark.parametrize(
    ("target", "changes", "lowering", "why"),
    [
        ("openvino", {}, "native", "one operator"),
        (
            "openvino",
            {"activation": "elu"},
            "scan",
            "OpenVINO's operators have no activation 'elu'",
        ),
        ("openvino", {"cell": "lstm", "masked": True}, "scan", "lets sequence_lens be"),
        ("openvino", {"cell": "gru", "masked": True}, "native", "one operator"),
        ("portable", {"cell": "gru"}, "scan", "runtimes differ"),
    ],
)
def test_a_target_is_not_given_what_it_gets_wrong(target, changes, lowering, why):
    layer = layer_of(np.random.default_rng(0), **changes)
    chosen = choose(layer, OnnxLoweringRequest(target=target), SEQUENCE)
    assert chosen.lowering == lowering
    assert why in chosen.reason
    assert chosen.not_on == ()
    if lowering != "native":
        with pytest.raises(UnsupportedModelError, match=rf"'native' cannot .*\(target {target}\)"):
            choose(layer, OnnxLoweringRequest("native", target=target), SEQUENCE)


def test_a_form_says_which_runtimes_get_it_wrong():
    rng = np.random.default_rng(0)
    wrong = choose(layer_of(rng, cell="lstm", masked=True), OnnxLoweringRequest(), SEQUENCE)
    assert (wrong.lowering, wrong.not_on) == ("native", ("openvino-cpu",))
    assert choose(layer_of(rng, cell="lstm"), OnnxLoweringRequest(), SEQUENCE).not_on == ()


def test_an_unknown_target_is_a_mistake_of_the_user():
    with pytest.raises(InputError, match="no target 'moon'; there are ort, openvino, portable"):
        OnnxLoweringRequest(target="moon")
