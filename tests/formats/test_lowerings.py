"""What a user requests of lowerings, and how a request becomes a choice."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.formats.lowerings import LoweringRequest, choose
from rnn_deploy.spec import SEQUENCE, STREAM, Support, TracedLayer
from tests.support.errors import raises


@dataclass(frozen=True)
class Request(LoweringRequest):
    """The request of a format with two lowerings."""

    option: ClassVar[str] = "--form"
    known: ClassVar[tuple[str, ...]] = ("fast", "unrolled")


@dataclass(frozen=True)
class Extended(Request):
    depth: int = 0


def layer(name="a", steps=None):
    return TracedLayer(
        name=name, cell="Echo", units=4, go_backwards=False, return_sequences=True, steps=steps,
        initial_state=False, step=None, width=(3,),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "lowering", "by_layer"),
    [
        ("fast", "fast", {}),
        (("fast",), "fast", {}),
        ((), "auto", {}),
        ({"a": "fast"}, "auto", {"a": "fast"}),
        ({"a": "fast", "*": "unrolled"}, "unrolled", {"a": "fast"}),
        (["a=fast", "unrolled", "b/c=auto"], "unrolled", {"a": "fast", "b/c": "auto"}),
        (["x=y=fast"], "auto", {"x=y": "fast"}),
    ],
)
def test_a_request_is_read_from_every_form(value, lowering, by_layer):
    request = Request.read(value)
    assert (request.lowering, request.by_layer) == (lowering, by_layer)
    assert request.of(layer("a")) == by_layer.get("a", lowering)
    assert request.of(layer("z")) == lowering


def test_a_subclass_has_fields_of_its_own():
    assert Extended.read("fast", depth=3) == Extended("fast", {}, 3)


@pytest.mark.parametrize("value", ["native", {"a": "native"}, ["a=native"], ""])
def test_an_unknown_lowering_is_refused(value):
    with raises(InputError, "E-EXPORT-LOWERING-UNKNOWN", "--form", "auto, fast, unrolled"):
        Request.read(value)


def test_two_lowerings_for_one_layer_are_refused():
    with raises(InputError, "E-EXPORT-LOWERING-TWICE", "'a'", "fast", "auto"):
        Request.read(["a=fast", "a=auto"])


def test_a_layer_that_the_model_does_not_have_is_refused():
    Request.read({"a": "fast"}).check_layers([layer("a")])
    with raises(InputError, "E-EXPORT-LAYER-UNKNOWN", "--form", "'z'", "a, b"):
        Request.read({"z": "fast"}).check_layers([layer("a"), layer("b")])
    with raises(InputError, "E-EXPORT-LAYER-UNKNOWN", "none"):
        Request.read({"z": "fast"}).check_layers([])


def chosen(requested, entry=SEQUENCE, steps=None, able=True):
    def support(lowering):
        return Support(able, f"{lowering} takes {steps}")

    return choose(layer(steps=steps), requested, entry, support, lambda why: ("fast", f"{why}auto"))


def test_the_request_decides_or_the_automatic_choice():
    assert chosen("auto") == ("fast", "auto")
    assert chosen("unrolled", steps=5) == ("unrolled", "requested; unrolled takes 5")
    with raises(UnsupportedModelError, "E-MODEL-LOWERING", "'a'", "'unrolled'", "takes 5"):
        chosen("unrolled", steps=5, able=False)


def test_a_stream_of_open_length_is_not_unrolled():
    lowering, reason = chosen("unrolled", STREAM)
    assert lowering == "fast"
    assert reason.startswith("not unrolled")
    assert chosen("unrolled", STREAM, steps=5)[0] == "unrolled"
    assert chosen("unrolled", SEQUENCE)[0] == "unrolled"
