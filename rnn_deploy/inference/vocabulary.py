"""Tokens of text and their ids, for models that generate text."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.spec import Array, TensorSpec

SPLITS = ("characters", "words")


@dataclass(frozen=True)
class Vocabulary:
    """The tokens in the order of their ids, and how text is split into tokens."""

    tokens: tuple[str, ...]
    split: str = "characters"

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: index for index, token in enumerate(self.tokens)}

    def ids_of(self, text: str) -> list[int]:
        """Return the ids of a text; raise InputError for a token that is not in the vocabulary."""
        return [self.id_of(token) for token in self.tokens_of(text)]

    def tokens_of(self, text: str) -> list[str]:
        """Return the tokens of a text."""
        return list(text) if self.split == "characters" else text.split()

    def text_of(self, ids: Sequence[int]) -> str:
        """Return the text of ids."""
        tokens = [self.tokens[i] if i < len(self.tokens) else f"<{i}>" for i in ids]
        return ("" if self.split == "characters" else " ").join(tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._ids

    def id_of(self, token: str) -> int:
        """Return the id of a token; InputError for one that is not in the vocabulary."""
        if token not in self._ids:
            shown = ", ".join(map(repr, self.tokens[:8]))
            raise InputError(
                "E-GENERATE-UNKNOWN-TOKEN",
                f"the vocabulary has no token {token!r}; expected one of its {len(self.tokens)}"
                f" tokens: {shown}, ...",
            )
        return self._ids[token]


def token_id(word: str, vocabulary: Vocabulary | None, option: str) -> int:
    """Return the id of a token that an option names: a token of the vocabulary, N, or id=N.

    Raise InputError if the word is both a token and the id of another one, or neither.
    """
    digits = word.removeprefix("id=")
    number = int(digits) if digits.isascii() and digits.isdigit() else None
    if number is not None and (word != digits or vocabulary is None or word not in vocabulary):
        return number
    if vocabulary is None:
        raise InputError(
            "E-GENERATE-UNKNOWN-TOKEN",
            f"{option} {word}: expected the id of a token; for text add --vocabulary FILE",
        )
    token = vocabulary.id_of(word)
    if number not in (None, token):
        raise InputError(
            "E-GENERATE-AMBIGUOUS",
            f"{option} {word} can be the id {word}, or the token {word!r}, which has the id"
            f" {token}; write {option} id={word} or {option} id={token}",
        )
    return token


def read_vocabulary(place: Path, split: str) -> Vocabulary:
    """Read a file with a token on each line, the token with the id 0 first."""
    try:
        text = place.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError("E-DATA-NOT-FOUND", f"{place}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            "E-DATA-DAMAGED", f"{place}: expected a UTF-8 text with a token on each line: {error}"
        ) from error
    tokens = tuple(text.removesuffix("\n").split("\n"))
    twice = next((token for token in tokens if tokens.count(token) > 1), None)
    if twice is not None:
        raise InputError(
            "E-GENERATE-VOCABULARY", f"{place}: token {twice!r} occurs twice; remove one line"
        )
    return Vocabulary(tokens, split)


def source_values(ids: Sequence[Sequence[int]], tensor: TensorSpec) -> list[Array]:
    """Return sources of ids as an input takes them: as ids, or as one-hot vectors."""
    if len(tensor.shape) == 3 and isinstance(tensor.shape[2], int):
        table = np.eye(tensor.shape[2], dtype=tensor.dtype)
        if max((max(row, default=0) for row in ids), default=0) >= len(table):
            raise InputError(
                "E-GENERATE-VOCABULARY",
                f"input '{tensor}' takes {len(table)} tokens, and the vocabulary has more; give the"
                " vocabulary of this model",
            )
        return [table[np.asarray(row, np.int64)] for row in ids]
    return [np.asarray(row, np.int64) for row in ids]
