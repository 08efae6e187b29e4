"""From medians to winners."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_deploy.perf.tuning.choose import choose, winners


def test_one_that_is_best_everywhere_is_alone():
    assert choose({1: {"a": 1.0, "b": 2.0}, 2: {"a": 3.0, "b": 4.0}}) == {1: "a", 2: "a"}


def test_a_second_one_is_taken_where_it_gains():
    medians = {1: {"a": 10.0, "b": 20.0}, 2: {"a": 90.0, "b": 30.0}}
    assert choose(medians) == {1: "a", 2: "b"}


def test_one_that_gains_too_little_is_left_out():
    medians = {1: {"a": 10.0, "b": 9.8}, 2: {"a": 30.0, "b": 90.0}}
    assert choose(medians) == {1: "a", 2: "a"}
    assert choose(medians, worth=1.01) == {1: "b", 2: "a"}


def test_one_that_has_no_figure_somewhere_is_not_taken_there():
    assert choose({1: {"a": 1.0, "b": 5.0}, 2: {"b": 7.0}}) == {1: "a", 2: "b"}


@pytest.mark.parametrize(
    ("alone", "expected"),
    [(5.0, ("at-8", "a")), (9.7, ("a",)), (11.0, ("a",))],
)
def test_one_of_one_time_alone_stands_before_one_of_any(alone, expected):
    medians = {1: {"a": 10.0, "b": 20.0, "at-8": alone}, 2: {"a": 10.0, "b": 9.9}}
    assert winners(medians, {"at-8"}) == {1: expected, 2: ("a",)}


figures = st.dictionaries(
    st.integers(0, 5),
    st.dictionaries(st.sampled_from("abcd"), st.floats(0.1, 1e6), min_size=1),
    min_size=1,
)


@given(figures)
def test_nowhere_is_the_choice_slower_than_is_worth_it(medians):
    chosen = choose(medians)
    for place, taken in medians.items():
        assert taken[chosen[place]] < 1.05 * min(taken.values())
