"""Token ids from text, as Keras computes them, without TensorFlow.

TextVectorization works on UTF-8 bytes: only ASCII letters become lower case, only ASCII whitespace
separates words, and characters are code points. The old `Tokenizer` works on Python strings, where
every letter becomes lower case. Both were compared with Keras 3.15 on many texts.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Tokens = list[list[int]]
_PUNCTUATION = b"!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'"


def ids_of_text(step: Mapping[str, Any]) -> Callable[[Sequence[str]], Tokens]:
    """Return a function from texts to ids, one list for each text, for a step of a bundle.

    With a `length` every list has it. Without, lists are padded with 0 to the longest if the layer
    does so (`pad`).
    """
    if step["kind"] == "tokenizer":
        return lambda texts: [_old_ids(step, text) for text in texts]
    known = known_words(step)
    mask, unknown = step["mask"], step["unknown"]

    def ids(texts: Sequence[str]) -> Tokens:
        rows = [
            [0 if token == mask else known.get(token, unknown) for token in _tokens(step, text)]
            for text in texts
        ]
        return _padded(rows, step)

    return ids


def known_words(step: Mapping[str, Any]) -> dict[Any, int]:
    """Return the ids by word, without the special words at the front of the vocabulary."""
    first = len(step["special"])
    return {word: first + index for index, word in enumerate(step["vocabulary"][first:])}


def _padded(rows: Tokens, step: Mapping[str, Any]) -> Tokens:
    length = step["length"]
    if length is None and not step["pad"]:
        return rows
    if length is None:
        length = max((len(row) for row in rows), default=0)
    return [row[:length] + [0] * (length - len(row)) for row in rows]


def _tokens(step: Mapping[str, Any], text: str) -> list[str]:
    raw = text.encode("utf-8", errors="surrogatepass")
    standardize = step["standardize"] or ""
    if standardize.startswith("lower"):
        raw = raw.lower()
    if standardize.endswith("strip_punctuation"):
        raw = raw.translate(None, _PUNCTUATION)
    if step["split"] == "whitespace":
        tokens = [token.decode("utf-8", errors="replace") for token in raw.split()]
    elif step["split"] == "character":
        tokens = list(raw.decode("utf-8", errors="replace"))
    else:
        tokens = [raw.decode("utf-8", errors="replace")]
    if step["ngrams"] is None:
        return tokens
    return [
        " ".join(tokens[start : start + width])
        for width in step["ngrams"]
        for start in range(len(tokens) - width + 1)
    ]


def _old_ids(step: Mapping[str, Any], text: str) -> list[int]:
    """Return what `keras.preprocessing.text.Tokenizer.texts_to_sequences` returns for a text."""
    if step["lower"]:
        text = text.lower()
    words: Sequence[str] = list(text)
    if not step["characters"]:
        separator = step["separator"]
        table = str.maketrans(dict.fromkeys(step["filters"], separator))
        words = [word for word in text.translate(table).split(separator) if word]
    index: Mapping[str, int] = step["index"]
    limit, unknown = step["words"], index.get(step["unknown"])
    found = []
    for word in words:
        number = index.get(word)
        if number is None or (limit is not None and number >= limit):
            number = unknown
        if number is not None:
            found.append(number)
    return found
