"""Ids of text are those of Keras, for every setting and for text of every script."""

import itertools

import numpy as np
import pytest

from rnn_deploy.exporting.given import vocabulary_step
from rnn_deploy.inference.text import ids_of_text
from rnn_deploy.keras.preprocessing import _text

LETTERS = list(
    "abc ABC ÄÖÜäöüß éÉ İı Σσς 日本語 😀👨‍👩‍👧 e\u0301"
    " \u00a0\u2003\u3000\x0b\x0c\x1c\x1d\x85\u2028\t\n"
    " .,!?'\"-_/\\@#$%^&*()[]{}<>|`~+=:; 0123 «»…—’\x00"
)
SPECIAL = ["", "   ", "...", "Hello, World!", "can't won't", "[UNK]", "ΑΣ ας", "STRASSE", "a-b_c"]


@pytest.fixture(scope="module")
def texts():
    rng = np.random.default_rng(0)
    return SPECIAL + ["".join(rng.choice(LETTERS, rng.integers(0, 25))) for _ in range(150)]


STANDARDIZE = (None, "lower", "strip_punctuation", "lower_and_strip_punctuation")
SPLIT = ("whitespace", "character")


@pytest.mark.parametrize(
    ("standardize", "split", "ngrams", "length"),
    [
        *((s, p, None, None) for s, p in itertools.product(STANDARDIZE, SPLIT)),
        *((s, None, None, None) for s in STANDARDIZE),
        ("lower", "whitespace", 2, None),
        (None, "character", 3, 9),
        ("lower_and_strip_punctuation", "whitespace", (2,), 3),
        ("lower_and_strip_punctuation", "whitespace", (1, 3), 5),
    ],
)
def test_ids_are_those_of_text_vectorization(texts, standardize, split, ngrams, length):
    import keras

    layer = keras.layers.TextVectorization(
        300, standardize, split, ngrams, output_sequence_length=length
    )
    layer.adapt(texts[::2])
    data = np.array(texts, object)
    expected = layer(data if split else data[:, None]).numpy()
    found = ids_of_text(_text(layer, layer.get_config()))(texts)
    np.testing.assert_array_equal(np.array(found), expected)
    assert len(np.unique(expected)) > 3


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_words": 40},
        {"num_words": 40, "oov_token": "?"},
        {"oov_token": "?", "lower": False, "filters": "ab"},
        {"char_level": True},
        {"split": ","},
    ],
)
def test_ids_are_those_of_the_old_tokenizer(texts, settings):
    import json

    import tf_keras

    tokenizer = tf_keras.preprocessing.text.Tokenizer(**settings)
    tokenizer.fit_on_texts(texts[::2])
    step = vocabulary_step(json.loads(tokenizer.to_json()))
    found = ids_of_text(step)(texts)
    assert found == tokenizer.texts_to_sequences(texts)
    assert len(set(itertools.chain(*found))) > 3


def test_without_padding_each_text_has_its_own_length():
    ids = ids_of_text(vocabulary_step(["a", "b"]))
    assert ids(["a b z", "", "B, a!"]) == [[2, 3, 1], [], [3, 2]]
