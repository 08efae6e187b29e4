"""Which lowering a layer gets, and the reason that is given."""

import numpy as np
import pytest

from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.formats.lowerings import AUTO
from rnn_deploy.onnx.choice import ONNX_LOWERINGS, choices_of, choose
from rnn_deploy.onnx.format import LOWERINGS, OnnxLoweringRequest
from rnn_deploy.onnx.unrolled import MOST_STEPS
from rnn_deploy.spec import SEQUENCE, STREAM, EntryPoint, TensorSpec
from tests.support.errors import raises
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
def test_a_requested_lowering_is_taken(requested):
    choice = choice_of(requested, steps=5)
    assert choice.lowering == requested
    assert choice.reason.startswith("requested; ")


@pytest.mark.parametrize(
    ("requested", "changes", "names"),
    [
        ("native", {"activation": "silu"}, ["'rnn'", "'native'", "'silu'"]),
        ("unrolled", {}, ["--time N"]),
        ("unrolled", {"steps": MOST_STEPS + 1}, [str(MOST_STEPS + 1)]),
        ("unrolled", {"steps": 3, "activation": "softmax"}, ["'softmax'"]),
        ("scan", {"activation": "softmax"}, ["'softmax'"]),
        (AUTO, {"activation": "softmax"}, ["native", "scan", "unrolled"]),
    ],
)
def test_what_cannot_be_expressed_is_refused_with_the_reason(requested, changes, names):
    with raises(UnsupportedModelError, "E-MODEL-LOWERING", *names):
        choice_of(requested, **changes)


def test_unrolled_gives_way_in_a_stream_of_open_length_and_says_so():
    choice = choice_of("unrolled", entry=STREAM)
    assert choice.lowering == "native"
    assert choice.reason.startswith("not unrolled, since a chunk may have any length; ")


def test_an_unknown_lowering_is_a_mistake_of_the_user():
    with raises(InputError, "E-EXPORT-LOWERING-UNKNOWN", "fused", AUTO, *LOWERINGS):
        choice_of("fused")


def layers(**by_name):
    rng = np.random.default_rng(0)
    return [(layer_of(rng, name=name, **changes),) for name, changes in by_name.items()]


def test_single_layers_are_lowered_as_requested_and_the_rest_as_requested_for_all():
    calls = layers(a={}, b={}, c={})
    chosen = choices_of(calls, OnnxLoweringRequest.read({"b": "scan", "*": "native"}), ENTRY)
    assert [(c.layer, c.lowering) for c in chosen] == [
        ("a", "native"),
        ("b", "scan"),
        ("c", "native"),
    ]
    assert choices_of(calls, OnnxLoweringRequest.read("scan"), ENTRY)[0].lowering == "scan"
    words = OnnxLoweringRequest.read(["b=scan"])
    assert [c.lowering for c in choices_of(calls, words, ENTRY)] == ["native", "scan", "native"]


def test_a_layer_that_there_is_not_is_a_mistake_of_the_user():
    with raises(InputError, "E-EXPORT-LAYER-UNKNOWN", "'z'", "a, b"):
        choices_of(layers(a={}, b={}), OnnxLoweringRequest.read({"z": "scan"}), ENTRY)


def test_two_lowerings_for_one_layer_are_a_mistake_of_the_user():
    with raises(InputError, "E-EXPORT-LOWERING-TWICE", "'a'", "scan", "native"):
        OnnxLoweringRequest.read(["a=scan", "a=native"])
    with raises(InputError, "E-EXPORT-LOWERING-TWICE", "scan", "native"):
        OnnxLoweringRequest.read(["scan", "native"])


@pytest.mark.parametrize(
    ("profile", "changes", "lowering", "why"),
    [
        ("openvino", {}, "native", "one operator"),
        (
            "openvino",
            {"activation": "elu"},
            "scan",
            "OpenVINO's operators have no activation 'elu'",
        ),
        ("openvino", {"cell": "lstm", "masked": True}, "scan", "ignores sequence_lens"),
        ("openvino", {"cell": "gru", "masked": True}, "native", "one operator"),
        ("portable", {"cell": "gru"}, "scan", "runtimes differ"),
    ],
)
def test_a_profile_avoids_what_its_runtimes_get_wrong(profile, changes, lowering, why):
    layer = layer_of(np.random.default_rng(0), **changes)
    chosen = choose(layer, OnnxLoweringRequest(profile=profile), SEQUENCE)
    assert chosen.lowering == lowering
    assert why in chosen.reason
    assert chosen.not_on == ()
    if lowering != "native":
        with raises(UnsupportedModelError, "E-MODEL-LOWERING", "'native'", profile):
            choose(layer, OnnxLoweringRequest("native", profile=profile), SEQUENCE)


def test_a_form_says_which_runtimes_get_it_wrong():
    rng = np.random.default_rng(0)
    wrong = choose(layer_of(rng, cell="lstm", masked=True), OnnxLoweringRequest(), SEQUENCE)
    assert (wrong.lowering, wrong.not_on) == ("native", ("openvino-cpu",))
    assert choose(layer_of(rng, cell="lstm"), OnnxLoweringRequest(), SEQUENCE).not_on == ()
