import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.inference.keyed_states import KeyedStates, choose
from rnn_deploy.spec import EntryPoint, StateSpec, TensorSpec
from tests.support.errors import raises

H = StateSpec(TensorSpec("h", ("batch", 1), "float32"), "h_out", "rnn", "h")
ENTRY = EntryPoint("stream", (TensorSpec("x", ("batch", "time", 1), "float32"),), (), (H,))
FOUND = KeyedStates({"h": np.array([[1], [2], [3]], "f")}, ["a", 7, "c"])


def test_states_follow_their_keys_and_the_others_are_kept():
    chosen = choose(FOUND, ("c", "new", "7"), ENTRY, "s.npz")
    assert chosen.states["h"].ravel().tolist() == [3, 0, 2]
    assert chosen.new == ("new",)
    both = chosen.rest.joined({"h": np.array([[30], [10], [20]], "f")}, ("c", "new", "7"))
    assert both.keys == ("c", "new", "7", "a")
    assert both.states["h"].ravel().tolist() == [30, 10, 20, 1]


def test_keys_on_one_side_only_are_refused():
    plain = KeyedStates(FOUND.states)
    assert choose(plain, None, ENTRY, "s.npz").states == FOUND.states
    for found, keys in ((FOUND, None), (plain, ("a",))):
        with raises(InputError, "E-STATE-KEYS", "s.npz", "--id"):
            choose(found, keys, ENTRY, "s.npz")
    with raises(InputError, "E-STATE-SHAPE", "'h'"):
        choose(KeyedStates({"h": np.ones((1, 2), "f")}, ["a"]), ("a",), ENTRY, "s.npz")
