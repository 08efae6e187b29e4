"""Models in C against the same model in float64: outputs and states of both entry points.

Each fault that is planted in the C text must be seen by the same comparison.
"""

import keras
import numpy as np
import pytest

from rnn_deploy.numerics.cells import ACTIVATIONS, HARD_SIGMOID_OF_KERAS_2
from tests.support.c_compilers import needed
from tests.support.c_models import error_of, feeds_of, planned, runner_of
from tests.support.models import randomised

pytestmark = needed("cc")
L = keras.layers
MOST = 2e-6


def functional(build, inputs, name="model", scale=0.4):
    return randomised(keras.Model(inputs, build(*inputs), name=name), scale=scale)


def series(width=3):
    return keras.Input((None, width), name="x")


def stack(kind, **options):
    def build(x):
        y = L.Masking(0.0, name="masking")(x)
        y = getattr(L, kind)(9, return_sequences=True, name="first", **options)(y)
        y, *states = getattr(L, kind)(4, return_state=True, name="second", **options)(y)
        return [L.Dense(2, name="y")(y), *states]

    return functional(build, [series()])


def activations():
    """Every activation in a cell and as a layer."""

    def build(x):
        found = []
        for name in sorted({*ACTIVATIONS} - {HARD_SIGMOID_OF_KERAS_2}):
            cell = L.GRU(2, activation=name, recurrent_activation="hard_sigmoid", name=f"g_{name}")
            found.append(L.Activation(name, name=f"a_{name}")(cell(x * 0.5)))
        return L.Concatenate(name="y")(found)

    return functional(build, [series()], scale=0.2)


def zero_output():
    def build(x):
        y = L.Masking(0.0, name="masking")(x)
        y = L.LSTM(4, return_sequences=True, zero_output_for_mask=True, name="a")(y)
        last = L.GRU(3, zero_output_for_mask=True, name="b")(y)
        return [y, last]

    return functional(build, [series()])


def cells():
    def build(x):
        y = L.Masking(0.0, name="masking")(x)
        return L.RNN([L.LSTMCell(4), L.GRUCell(3)], return_sequences=True, name="list")(y)

    return functional(build, [series()])


def both_ways(mode="concat"):
    def build(x):
        y = L.Bidirectional(L.LSTM(4, return_sequences=True), merge_mode=mode, name="one")(
            L.Masking(0.0, name="masking")(x)
        )
        y = L.Bidirectional(L.GRU(4, return_sequences=True), merge_mode="ave", name="two")(y)
        return [y, L.Bidirectional(L.SimpleRNN(3), name="three")(y)]

    return functional(build, [series()])


def backwards():
    def build(x):
        y = L.GRU(4, go_backwards=True, return_sequences=True, name="back")(
            L.Masking(0.0, name="masking")(x)
        )
        y = L.LSTM(3, return_sequences=True, name="on")(y)
        return L.LSTM(3, go_backwards=True, name="end")(y)

    return functional(build, [series()])


def tokens():
    def build(ids, x):
        e = L.Embedding(6, 5, mask_zero=True, name="embedding")(ids)
        y = L.Concatenate(name="both")([e, x])
        return L.Dense(3, activation="softmax", name="y")(L.GRU(4, name="gru")(y))

    return functional(build, [keras.Input((None,), dtype="int32", name="ids"), series()])


def window():
    def build(x):
        y = L.Conv1D(5, 3, padding="causal", dilation_rate=2, activation="relu", name="conv")(x)
        return L.GRU(4, return_sequences=True, name="gru")(y)

    return functional(build, [series()])


def norms():
    def build(x):
        y = L.LayerNormalization(name="norm", epsilon=1e-2)(x * 2.0 - 1.0)
        y = L.LSTM(4, return_sequences=True, name="lstm")(y)
        y = L.BatchNormalization(name="batch")(y)
        y = L.PReLU(shared_axes=[1], name="prelu")(y[..., 1:4])
        y = L.Maximum(name="most")([y, L.Minimum(name="least")([x, y]) - y])
        return L.Multiply(name="product")([y, y[:, :, :1]])

    model = functional(build, [series()])
    batch = model.get_layer("batch")
    batch.set_weights([np.abs(w) + np.float32(0.1) for w in batch.get_weights()])
    return model


def starting():
    """A decoder that starts from an encoder's states, and from a state that is an input."""

    def build(x, z, start):
        _, *states = L.LSTM(4, return_state=True, name="encoder")(L.Masking(0.0, name="masking")(x))
        y = L.LSTM(4, return_sequences=True, name="decoder")(
            L.Masking(0.0, name="m2")(z), initial_state=states
        )
        given = L.Dense(3, activation="tanh", name="start")(start)
        return [y, L.GRU(3, name="from")(z, initial_state=given)]

    inputs = [series(), keras.Input((None, 2), name="z"), keras.Input((5,), name="given")]
    return functional(build, inputs)


def nested():
    inner = keras.Sequential(
        [keras.Input((None, 3)), L.LSTM(4, return_sequences=True), L.Dropout(0.5)], name="inner"
    )

    def build(x):
        return L.GRU(2, name="outer")(inner(x))

    return functional(build, [series()])


def mask_input():
    def build(x, m):
        return L.LSTM(4, return_sequences=True, name="lstm")(x, mask=m)

    return functional(build, [series(), keras.Input((None,), dtype="bool", name="m")])


MODELS = {
    "SimpleRNN": lambda: stack("SimpleRNN"),
    "GRU": lambda: stack("GRU"),
    "GRU before": lambda: stack("GRU", reset_after=False),
    "LSTM": lambda: stack("LSTM"),
    "LSTM without bias": lambda: stack("LSTM", use_bias=False),
    "GRU without bias": lambda: stack("GRU", use_bias=False),
    "activations": activations,
    "zero output": zero_output,
    "cells": cells,
    "both ways": both_ways,
    "both ways, apart": lambda: functional(
        lambda x: list(L.Bidirectional(L.GRU(3), merge_mode=None, name="both")(x)), [series()]
    ),
    "backwards": backwards,
    "tokens": tokens,
    "window": window,
    "norms": norms,
    "starting": starting,
    "nested": nested,
    "mask as input": mask_input,
}


@pytest.mark.parametrize("name", MODELS)
def test_outputs_and_states_are_those_of_the_model(name):
    assert error_of(planned(MODELS[name]())) < MOST


def replaced(old, new, count=1):
    def change(name, text):
        if name != "model.c":
            return text
        assert old in text
        return text.replace(old, new, count)

    return change


FAULTS = {
    "gates swapped": ("LSTM", replaced("model_sigmoid(a[j])", "model_sigmoid(a[units + j])")),
    "reset gate late": ("GRU before", replaced("* h[j];", "* 1.0f;")),
    "update gate inverted": (
        "GRU",
        replaced("z * h[j] + (1.0f - z) * n", "(1.0f - z) * h[j] + z * n"),
    ),
    "mask ignored": ("LSTM", replaced("found |= !(x[j] == value)", "found |= 1")),
    "mask inverted": ("LSTM", replaced("if (counts_1)", "if (!counts_1)")),
    "state not carried": ("SimpleRNN", replaced("h[j] = model_tanh(a[j]);", "h[j] = a[j];")),
    "row forgotten": ("LSTM", replaced("i + 8 <= rows", "i + 9 <= rows", 1)),
    "wrong constant": ("activations", replaced("x * (1.0f / 6.0f) + 0.5f", "x * 0.2f + 0.5f")),
    "wrong direction": ("both ways", replaced("t-- > 0", "t-- > 1")),
    "output kept": ("zero output", replaced("memset(state->a_output, 0", "memset(masking, 0")),
    "window not moved": ("window", replaced("memmove(", "(void)memcmp(")),
    "start forgotten": (
        "starting",
        replaced("(state->decoder_c, state->encoder_c", "(state->decoder_c, state->encoder_h"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_seen(fault):
    name, change = FAULTS[fault]
    if fault == "row forgotten":  # the rest of the rows must not be done by the second loop
        change = _without_a_row
    assert error_of(planned(MODELS[name]()), change=change) > 100 * MOST


def _without_a_row(name, text):
    return text.replace("for (; i < rows;", "for (; i + 1 < rows;") if name == "model.c" else text


def test_a_mask_may_be_given_in_place_of_the_values():
    """Steps that the caller masks change nothing; steps of zeros count if the caller says so."""
    plan = planned(MODELS["LSTM"]())
    entry = plan.sequence.entry
    rng = np.random.default_rng(2)
    x = rng.standard_normal((1, 6, 3)).astype(np.float32)
    x[:, 2] = 0  # a step that the values would mask
    counted = [0, 2, 3]

    def given(mask):
        def change(name, text):
            if name != "model_shared.c":
                return text
            array = f"static const unsigned char given[] = {{{', '.join(map(str, mask))}}};\n"
            return text.replace("NULL,", "given,", 1).replace("typedef", array + "typedef", 1)

        return change

    some = runner_of(plan, entry, given([1, 0, 1, 1, 0, 0])).run({"x": x})
    all_of_them = runner_of(plan, entry, given([1, 1, 1])).run({"x": x[:, counted]})
    by_values = runner_of(plan, entry).run({"x": x[:, counted]})
    np.testing.assert_array_equal(some["y"], all_of_them["y"])
    assert not np.array_equal(some["y"], by_values["y"])


def test_every_row_is_a_sequence_of_its_own():
    plan = planned(MODELS["LSTM"]())
    runner, feeds = runner_of(plan, plan.stream.entry), feeds_of(plan.stream.entry, batch=4)
    whole = runner.run(feeds)
    for row in range(4):
        alone = runner.run({name: value[row : row + 1] for name, value in feeds.items()})
        for name, value in alone.items():
            np.testing.assert_array_equal(value[0], whole[name][row])
