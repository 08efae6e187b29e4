import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.inference.plain import named, plain
from rnn_deploy.spec import EntryPoint, StateSpec, TensorSpec
from tests.support.errors import raises

A, B, P, Q = (TensorSpec(name, ("batch", 2), "float32") for name in "abpq")
STATE = StateSpec(TensorSpec("h_in", ("batch", 2), "float32"), "h_out", "rnn", "h")
ONE = EntryPoint("stream", (A,), (P,), (STATE,))
SEVERAL = EntryPoint("sequence", (A, B), (P, Q))


def test_one_array_is_named_after_the_only_input():
    x = np.ones((1, 2), "f")
    assert named(ONE, x) == {"a": x}
    assert named(ONE, {"a": x})["a"] is x
    assert named(SEVERAL, {"b": x}) == {"b": x}  # the runner refuses what is missing
    assert named(ONE, [[1, 2]]) == {"a": [[1, 2]]}  # fitting.py knows what lists can be


def test_a_masked_array_stays_one_so_that_the_runner_can_refuse_it():
    assert isinstance(named(ONE, np.ma.zeros((1, 2)))["a"], np.ma.MaskedArray)


def test_one_array_for_several_inputs_is_refused():
    with raises(InputError, "E-INPUT-SEVERAL", "a, b"):
        named(SEVERAL, np.ones((1, 2), "f"))


def test_results_are_the_outputs_without_the_states():
    results = {"h_out": np.zeros(1), "q": np.ones(2), "p": np.ones(3)}
    assert plain(ONE, results) is results["p"]
    assert list(plain(SEVERAL, results)) == ["p", "q"]
