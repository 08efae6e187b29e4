"""Which control fits which inputs."""

import pytest

from rnn_deploy.bundle.attachments import Attachments
from rnn_deploy.errors import InputError
from rnn_deploy.packaging.web.controls import AUTO, control_for
from rnn_deploy.spec import STREAM, EntryPoint, StateSpec, Support, TensorSpec
from tests.support.errors import raises

IDS = TensorSpec("ids", ("batch", "time"), "int32", below=9)
ROWS = TensorSpec("rows", ("batch", "time", 8), "float32")
NARROW = TensorSpec("x", ("batch", "time", 3), "float32")
DIGIT = TensorSpec("digit", ("batch", 10), "float32")
FORECAST = TensorSpec("y", ("batch", "time", 2), "float32")
STATE = StateSpec(TensorSpec("h", ("batch", 4), "float32"), "h_next", "rnn", "h")
VOCABULARY = Attachments(steps={"ids": [{"kind": "text"}]})
NAMED = Attachments(features={"rows": list("abcdefgh")})
NONE = Attachments()


def entry(*inputs, output=FORECAST, streams=True):
    states = (STATE,) if streams else ()
    return EntryPoint(STREAM, inputs, (output,), states, Support(streams, "no"))


@pytest.mark.parametrize(
    ("control", "inputs", "given"),
    [
        ("text", entry(IDS), VOCABULARY),
        ("table", entry(IDS), NONE),
        ("draw", entry(ROWS, output=DIGIT), NONE),
        ("csv", entry(ROWS, output=DIGIT), NAMED),
        ("csv", entry(NARROW), NONE),
        ("csv", entry(ROWS), NONE),
        ("table", entry(NARROW, streams=False), NONE),
        ("table", entry(NARROW, ROWS), NONE),
    ],
)
def test_the_control_fits_the_input(control, inputs, given):
    assert control_for(AUTO, inputs, given) == control


def test_the_user_may_choose_one_that_fits():
    assert control_for("draw", entry(ROWS), NAMED) == "draw"
    assert control_for("table", entry(IDS), VOCABULARY) == "table"


@pytest.mark.parametrize(
    ("control", "inputs", "why"),
    [
        ("text", entry(IDS), "--vocabulary"),
        ("draw", entry(NARROW), "3 features"),
        ("draw", entry(IDS), "int32"),
        ("csv", entry(NARROW, streams=False), "no stream"),
        ("csv", entry(NARROW, ROWS), "2 inputs"),
        ("sliders", entry(NARROW), "auto, text, draw, csv, table"),
    ],
)
def test_one_that_does_not_fit_is_refused(control, inputs, why):
    with raises(InputError, "E-OPTION-CONTROL", control, why):
        control_for(control, inputs, NONE)
