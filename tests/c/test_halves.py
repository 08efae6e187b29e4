"""encode and decode in C give what the whole model gives, and reasons where there are none."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from rnn_deploy.c.files import _halves
from rnn_deploy.c.halves import halves_of
from rnn_deploy.c.reading import read_graph
from rnn_deploy.c.refusal import NotInCError
from tests.support.c_compilers import needed
from tests.support.c_models import planned, runner_of
from tests.support.models import randomised
from tests.support.translators import vectors

pytestmark = pytest.mark.filterwarnings("ignore:.*using a softmax over axis")
L = keras.layers


def both_ways(source, target):
    """A masked Bidirectional encoder, a bridge, two decoder layers, memory behind a Dropout."""
    x = L.Bidirectional(L.GRU(3, return_sequences=True), name="first")(L.Masking(name="m")(source))
    y, *states = L.Bidirectional(
        L.LSTM(3, return_sequences=True, return_state=True), name="second"
    )(x)
    h, c = (L.Concatenate()(pair) for pair in (states[::2], states[1::2]))
    h = L.Dense(6, activation="tanh", name="bridge")(h)
    z = L.LSTM(6, return_sequences=True, name="decoder")(target, initial_state=[h, c])
    z = L.GRU(6, return_sequences=True, name="decoder2")(z)
    look = L.AdditiveAttention(name="look")([z, L.Dropout(0.2)(y)])
    return [L.Concatenate(name="both")([z, look]), L.Dense(2, name="of_source")(h)]


@pytest.fixture(scope="module")
def plan():
    return planned(vectors(both_ways))


def feeds():
    rng = np.random.default_rng(5)
    x = {n: rng.standard_normal((2, t, f)) for n, t, f in (("source", 5, 3), ("target", 4, 2))}
    x["source"][1, 3:] = 0  # masked
    return {name: value.astype(np.float32) for name, value in x.items()}


def in_two(plan, change=lambda name, text: text):
    """Encode, and decode step by step."""
    encode, decode = (
        runner_of(plan, traced.entry, change) for traced in (plan.halves.encode, plan.halves.decode)
    )
    given = feeds()
    encoded = encode.run({"source": given["source"]})
    names = {t.name for t in decode.entry.all_inputs}
    carried = {name: value for name, value in encoded.items() if name in names}
    steps = []
    for t in range(4):
        results = decode.run({"target": given["target"][:, t : t + 1], **carried})
        carried |= {s.tensor.name: results[s.next_name] for s in decode.entry.states}
        steps.append(results[decode.entry.outputs[0].name])
    others = {n: v for n, v in encoded.items() if n not in names}
    return np.concatenate(steps, axis=1), *others.values()


@needed("cc")
def test_both_halves_give_what_the_whole_gives(plan):
    whole = runner_of(plan, plan.sequence.entry).run(feeds())
    for value, name in zip(in_two(plan), whole, strict=True):
        np.testing.assert_allclose(value, whole[name], rtol=0, atol=1e-7)


@needed("cc")
def test_a_planted_fault_is_seen(plan):
    whole = runner_of(plan, plan.sequence.entry).run(feeds())
    right, wrong, seen = "(unsigned char)counts", "(unsigned char)!counts", []

    def change(name, text):
        seen.append(name == "model.c" and right in text)
        return text.replace(right, wrong) if name == "model.c" else text

    assert np.abs(in_two(plan, change)[0] - next(iter(whole.values()))).max() > 1e-4
    assert any(seen)


def test_inputs_and_outputs_are_those_of_the_entry_points(plan):
    graph = read_graph(plan.model, plan.sequence.trace.signature)
    halves = halves_of(graph, plan.halves)
    for program, traced in (
        (halves.encode, plan.halves.encode),
        (halves.decode, plan.halves.decode),
    ):
        assert [v.name for v in program.inputs] == [t.name for t in traced.entry.inputs]
        assert [name for name, _ in program.outputs] == [t.name for t in traced.entry.outputs]
    assert {node.layer for node in halves.decode.cells} == {"decoder", "decoder2"}
    assert not any(node.initial for node in halves.decode.cells)


def test_memory_that_no_layer_of_the_program_makes_is_refused_with_a_note(plan):
    graph = read_graph(plan.model, plan.sequence.trace.signature)
    first = plan.halves.split.memory[0]
    place = replace(first.places[0], path=(*first.places[0].path, "inner"))
    memory = (replace(first, places=(place,)), *plan.halves.split.memory[1:])
    split = replace(plan.halves, split=replace(plan.halves.split, memory=memory))
    with pytest.raises(NotInCError, match=first.name):
        halves_of(graph, split)
    halves, notes = _halves(graph, replace(plan, halves=split))
    assert halves is None
    assert [first.name in note and "encode and decode" in note for note in notes] == [True]


def test_a_model_that_is_not_split_has_no_halves():
    x = keras.Input((None, 3), name="x")
    plan = planned(randomised(keras.Model(x, L.GRU(2, name="gru")(x))))
    graph = read_graph(plan.model, plan.sequence.trace.signature)
    assert _halves(graph, plan) == (None, ())
