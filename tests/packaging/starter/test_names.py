"""Names and texts that a bundle may have, in source code."""

import ast

from hypothesis import given
from hypothesis import strategies as st

from rnn_deploy.errors import BundleError
from rnn_deploy.packaging.starter.names import identifiers, quoted, shown
from tests.support.errors import raises


@given(st.lists(st.text(max_size=8), max_size=6))
def test_identifiers_are_different_and_valid(names):
    found = identifiers(names, reserved=("value", "x"))
    assert list(found) == list(dict.fromkeys(names))
    assert len({*found.values(), "value", "x"}) == len(found) + 2
    for word in found.values():
        ast.parse(f"{word} = 1")
        assert word.isascii()


def test_a_plain_name_stays():
    assert identifiers(["x", "dense/BiasAdd:0", "class", "1"]) == {
        "x": "x",
        "dense/BiasAdd:0": "dense_BiasAdd_0",
        "class": "class_2",
        "1": "v1",
    }


@given(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20))
def test_a_quoted_text_is_one_constant(text):
    assert ast.literal_eval(quoted(text)) == text


def test_what_no_string_can_hold_is_refused():
    with raises(BundleError, "E-BUNDLE-DAMAGED", "a\\nb"):
        quoted("a\nb")


@given(st.text())
def test_shown_text_ends_no_comment(text):
    assert not set(shown(text)) & set("\n\r\"'*/\\`$#|<>{}[]")
