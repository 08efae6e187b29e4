"""Requested shapes, and those that an entry point fixes."""

import pytest

from rnn_deploy.errors import InputError
from rnn_deploy.perf.bench.feeds import USUAL
from rnn_deploy.spec import EntryPoint, TensorSpec
from rnn_deploy.spec.shapes import Shape, shape_from, shapes_by_entry, shapes_for
from tests.support.errors import raises


def entry_of(*inputs):
    return EntryPoint("sequence", inputs, (TensorSpec("y", ("batch", 2), "float32"),))


OPEN = entry_of(TensorSpec("x", ("batch", "time", 3), "float32"))
FIXED = entry_of(TensorSpec("x", ("batch", 5, 3), "float32"))


def test_a_shape_is_read_and_said_alike():
    assert shape_from("32x100") == Shape(32, 100)
    assert str(Shape(32, 100)) == "32x100"


@pytest.mark.parametrize("text", ["", "1", "x", "0x1", "1x0", "1x1x1", "-1x1", "²x1", "1 x1"])
def test_what_is_no_shape_is_refused(text):
    with raises(InputError, "E-OPTION-SHAPE", f"--shape {text}", "BATCHxTIME"):
        shape_from(text)


def test_shapes_are_read_by_entry_point():
    words = ["8x20", "stream=64x1", "sequence=2x9"]
    shapes = {"sequence": (Shape(8, 20), Shape(2, 9)), "stream": (Shape(64, 1),)}
    assert shapes_by_entry(words, ("sequence", "stream")) == shapes
    with raises(InputError, "E-OPTION-SHAPE-ENTRY", "--expect step=1x1", "sequence, stream"):
        shapes_by_entry(["step=1x1"], ("sequence", "stream"), "--expect")
    with raises(InputError, "E-OPTION-SHAPE", "many"):
        shapes_by_entry(["stream=many"], ("sequence", "stream"))


def test_the_usual_shapes_follow_what_the_model_fixes():
    assert shapes_for(OPEN, [], USUAL) == USUAL
    assert shapes_for(FIXED, [], USUAL) == (Shape(1, 5), Shape(32, 5))


def test_a_shape_that_the_model_does_not_take_is_refused_and_not_bent():
    with raises(InputError, "E-OPTION-SHAPE-FIXED", "--shape 1x7", "5"):
        shapes_for(FIXED, [Shape(1, 7)], USUAL)
    one = entry_of(TensorSpec("x", (1, "time", 3), "float32"))
    with raises(InputError, "E-OPTION-SHAPE-FIXED", "--expect 2x7", "batch", "1"):
        shapes_for(one, [Shape(2, 7)], USUAL, "--expect")
    assert shapes_for(FIXED, [Shape(9, 5), Shape(9, 5)], USUAL) == (Shape(9, 5),)


def test_a_context_of_fixed_length_beside_an_open_one_fixes_nothing():
    both = entry_of(
        TensorSpec("context", ("batch", 4, 2), "float32"),
        TensorSpec("x", ("batch", "time", 3), "float32"),
    )
    assert shapes_for(both, [Shape(2, 9)], USUAL) == (Shape(2, 9),)
