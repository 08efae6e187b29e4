import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_deploy.bundle.json_values import finite

scalars = st.floats() | st.integers() | st.booleans() | st.none() | st.text(max_size=3)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(values)
@settings(max_examples=50, deadline=None)
def test_every_value_becomes_strict_json(value):
    json.dumps(finite(value), allow_nan=False)


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=20, deadline=None)
def test_finite_numbers_stay(number):
    assert finite([number]) == [number]


def test_what_json_has_no_number_for_becomes_a_string():
    assert finite({"a": (math.nan, math.inf, -math.inf)}) == {"a": ["nan", "inf", "-inf"]}
