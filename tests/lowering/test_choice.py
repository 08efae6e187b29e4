"""Which lowering a layer gets, and the reason that is given."""

import numpy as np
import pytest

from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.lowering.choice import AUTO, ONNX_LOWERINGS, choose
from rnn_deploy.lowering.onnx_unrolled import MOST_STEPS
from rnn_deploy.spec import SEQUENCE, STREAM
from tests.test_cells import layer_of


def choice_of(requested=AUTO, entry=SEQUENCE, **changes):
    return choose(layer_of(np.random.default_rng(0), **changes), requested=requested, entry=entry)


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
