"""Attention in C against the same model in float64, in the whole model and in its decoder."""

import keras
import pytest

from rnn_deploy.c.reading import read_program
from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.keras.signature import signature_of
from tests.support.c_compilers import needed
from tests.support.c_models import error_of, planned
from tests.support.errors import raises
from tests.support.models import randomised

L = keras.layers
MOST = 2e-6


def scored():
    """Every kind of score: masks of values and of queries, keys of their own, one's own steps."""
    x, z = keras.Input((None, 3), name="x"), keras.Input((None, 3), name="z")
    values = L.GRU(9, return_sequences=True, name="values")(L.Masking(name="some")(x))
    query = L.LSTM(9, return_sequences=True, name="query")(L.Masking(name="others")(z))
    plain = L.SimpleRNN(9, return_sequences=True, name="plain")(z)
    keys = L.Dense(9, name="keys")(values)
    cat = L.Attention(use_scale=True, score_mode="concat", name="cat")
    dot, scores = L.Attention(use_scale=True, name="dot")(
        [query, values, keys], return_attention_scores=True
    )
    outputs = [
        *(dot, scores, cat([plain, values])),
        L.AdditiveAttention(name="added")([plain, x_of_nine(x)]),
        L.AdditiveAttention(use_scale=False, name="unscaled")([query, query]),
        L.Attention(name="own", dropout=0.3)([plain, plain]),
        L.Attention(name="raw")([z, z]),
    ]
    return randomised(keras.Model([x, z], outputs, name="scored"), scale=0.6)


def x_of_nine(x):
    return L.Concatenate(name="nine")([x, x * 2.0, x * -1.0])


@pytest.fixture(scope="module")
def plan():
    return planned(scored())


@needed("cc")
def test_every_kind_of_attention_is_that_of_keras(plan):
    assert error_of(plan) < MOST


FAULTS = {
    "values not masked": ("mask[s] ? scores[s]", "1 ? scores[s]"),
    "a feature forgotten": ("rest += query[j] * key[j];", "rest += 0.0f * query[j] * key[j];"),
    "one step for all": (
        "for (s = 0; s < steps; s++, key += width)",
        "for (s = 0; s < steps; s++)",
    ),
    "each feature alike": ("a[j] *= each[j];", "a[j] *= each[0];"),
    "queries not masked": ("if (!counts_", "if (0 && !counts_"),
}


@needed("cc")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_seen(plan, fault):
    right, wrong = FAULTS[fault]
    seen = []

    def change(name, text):
        seen.append(name == "model.c" and right in text)
        return text.replace(right, wrong) if name == "model.c" else text

    assert error_of(plan, change=change) > 100 * MOST
    assert any(seen)


def causal(y):
    return L.Attention(name="causal")([y, y], use_causal_mask=True)


def heads(y):
    return L.MultiHeadAttention(2, 3, name="heads")(y, y)


def read_scores(y):
    _, scores = L.Attention(name="look")([y, y], return_attention_scores=True)
    return L.Activation("relu", name="of_scores")(scores)


@pytest.mark.parametrize(
    ("build", "name"), [(causal, "causal"), (heads, "heads"), (read_scores, "of_scores")]
)
def test_what_is_not_written_is_refused_by_name(build, name):
    x = keras.Input((None, 3), name="x")
    y = L.GRU(4, return_sequences=True, name="gru")(x)
    model = keras.Model(x, build(y))
    with raises(UnsupportedModelError, "E-MODEL-C-LAYER", name):
        read_program(model, signature_of(model))
