"""Which loop a node runs in, and what is kept between loops."""

import keras

from rnn_deploy.c.ir import CellNode
from rnn_deploy.c.reading import read_program
from rnn_deploy.c.schedule import schedule
from rnn_deploy.keras.signature import signature_of

L = keras.layers


def scheduled(build, width=3):
    x = keras.Input((None, width), name="x")
    model = keras.Model(x, build(x))
    return schedule(read_program(model, signature_of(model)))


def cells_of(plan):
    return [[n.layer for n in loop.nodes if isinstance(n, CellNode)] for loop in plan.loops]


def test_a_stack_is_one_loop_and_takes_single_steps():
    plan = scheduled(
        lambda x: L.Dense(2)(L.GRU(3, name="b")(L.LSTM(3, return_sequences=True, name="a")(x)))
    )
    assert cells_of(plan) == [["a", "b"]]
    assert [node.layer for node in plan.loops[0].after] == [plan.program.outputs[0][1].name]
    assert plan.by_steps
    assert plan.kept == {}


def test_stacked_bidirectional_layers_share_loops():
    both = lambda n: L.Bidirectional(L.GRU(2, return_sequences=True, name="g"), name=n)  # noqa: E731
    plan = scheduled(lambda x: both("two")(both("one")(x)))
    assert [loop.reverse for loop in plan.loops] == [False, True, False]
    assert not plan.by_steps
    assert len(plan.kept) >= 2


def test_what_runs_backward_is_read_in_the_order_in_which_it_was_computed():
    plan = scheduled(
        lambda x: L.GRU(3, name="on")(
            L.GRU(2, go_backwards=True, return_sequences=True, name="back")(x)
        )
    )
    assert [loop.reverse for loop in plan.loops] == [True, False]
    assert cells_of(plan) == [["back"], ["on"]]


def test_a_start_from_another_layer_waits_for_its_last_step():
    def build(x):
        _, state = L.GRU(2, return_state=True, name="encoder")(x)
        return L.GRU(2, name="decoder")(x, initial_state=state)

    plan = scheduled(build)
    assert cells_of(plan) == [["encoder"], ["decoder"]]
    assert not plan.by_steps
