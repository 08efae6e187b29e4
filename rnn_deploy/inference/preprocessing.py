"""Convert the user's text or raw numbers to the inputs of a model, with the steps of its bundle.

    feeds by name --Preprocessing.apply--> ids and scaled numbers, as the model takes them

A model that takes text also takes token ids: values that are not text are passed on unchanged.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rnn_deploy.bundle import Bundle
from rnn_deploy.bundle.attachments import attachments_of
from rnn_deploy.errors import InputError
from rnn_deploy.inference.text import ids_of_text, known_words
from rnn_deploy.spec import Array, TensorSpec

Step = Callable[[str, Any], Any]  # takes an input's name and its value
TEXT = "str"  # the dtype of an input for which a user may give text


class Preprocessing:
    """The steps of a bundle, by input. It is false without steps."""

    def __init__(self, steps: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        self._given = steps
        self._steps = {
            name: [_step(facts) for facts in listed] for name, listed in steps.items() if listed
        }
        self._first = {name: listed[0]["kind"] for name, listed in steps.items() if listed}

    def __reduce__(self) -> tuple[Any, ...]:
        return Preprocessing, (self._given,)

    def __bool__(self) -> bool:
        return bool(self._steps)

    def takes_text(self, name: str) -> bool:
        """Return whether an input can be given as text."""
        return self._first.get(name) in ("text", "tokenizer", "strings")

    def takes_whole_text(self, name: str) -> bool:
        """Return whether an input takes one text for each sequence."""
        return self._first.get(name) in ("text", "tokenizer")

    def apply_to_chunk(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """Return the feeds of one chunk of a stream; raise InputError for text."""
        for name in feeds:
            if self.takes_whole_text(name) and is_text(feeds[name]):
                raise InputError(
                    "E-INPUT-TEXT",
                    f"input '{name}': a stream takes token ids, since text is split and padded as a"
                    " whole; use predict(texts), or `run` without --chunk and states",
                )
        return self.apply(feeds)

    def apply(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """Return the feeds that the model takes; raise InputError for a word that it cannot map."""
        done = dict(feeds)
        for name, steps in self._steps.items():
            for step in steps if name in done else ():
                done[name] = step(name, done[name])
        return done


def preprocessing_of(bundle: Bundle) -> Preprocessing:
    """Return the steps of a bundle."""
    return Preprocessing(attachments_of(bundle).steps)


def raw_spec(tensor: TensorSpec, preprocessing: Preprocessing) -> TensorSpec:
    """Return an input as the user supplies it: text, or the model's own values."""
    if not preprocessing.takes_text(tensor.name):
        return tensor
    shape = tensor.shape[:1] if preprocessing.takes_whole_text(tensor.name) else tensor.shape
    return TensorSpec(tensor.name, shape, TEXT)


def is_text(value: Any) -> bool:
    """Return whether a value is text, or holds text at any depth."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "US" or (value.dtype == object and is_text(value.tolist()))
    if isinstance(value, list | tuple):
        return any(is_text(item) for item in value)
    return isinstance(value, str | bytes)


def _step(facts: Mapping[str, Any]) -> Step:
    return {
        "text": _text,
        "tokenizer": _text,
        "strings": _strings,
        "integers": _integers,
        "scaler": _scaler,
    }[facts["kind"]](facts)


def _text(facts: Mapping[str, Any]) -> Step:
    ids = ids_of_text(facts)

    def step(name: str, value: Any) -> Any:
        if not is_text(value):
            return value
        if isinstance(value, str | bytes):
            raise InputError(
                "E-INPUT-TEXT", f"input '{name}' takes a list of texts, got one text: give [text]"
            )
        found = ids([_one_text(name, item) for item in value])
        if facts.get("pad") and not any(found):
            raise InputError(
                "E-INPUT-TEXT",
                f"input '{name}': no text holds a word, and the model takes at least one step",
            )
        return found

    return step


def _one_text(name: str, item: Any) -> str:
    while isinstance(item, np.ndarray | list | tuple) and len(item) == 1:
        item = item[0]  # (batch, 1), a usual shape of text inputs
    if isinstance(item, bytes):
        item = item.decode("utf-8", errors="replace")
    if not isinstance(item, str):
        raise InputError(
            "E-INPUT-TEXT", f"input '{name}' takes one text for each sequence, got {item!r:.60}"
        )
    return str(item)


def _strings(facts: Mapping[str, Any]) -> Step:
    return _lookup(
        facts, lambda item: _one_text("", item) if isinstance(item, str | bytes) else None
    )


def _integers(facts: Mapping[str, Any]) -> Step:
    def key(item: Any) -> Any:
        whole = isinstance(item, int | np.integer) or (
            isinstance(item, float) and item.is_integer()
        )
        return int(item) if whole and not isinstance(item, bool) else None

    return _lookup(facts, key)


def _lookup(facts: Mapping[str, Any], key: Callable[[Any], Any]) -> Step:
    known = known_words(facts)
    if facts["mask"] is not None:
        known[facts["mask"]] = 0

    def one(name: str, item: Any) -> Any:
        if isinstance(item, np.ndarray | list | tuple):
            return [one(name, inner) for inner in item]
        found = key(item)
        if found is None:
            wanted = "words" if facts["kind"] == "strings" else "whole numbers"
            raise InputError("E-INPUT-TEXT", f"input '{name}' takes {wanted}, got {item!r:.60}")
        index = known.get(found, facts["unknown"])
        if index < 0:
            raise InputError(
                "E-INPUT-VOCABULARY",
                f"input '{name}': {found!r} is not in the model's vocabulary, which has no entry"
                " for unknown ones",
            )
        return index

    return lambda name, value: one(name, value.tolist() if isinstance(value, np.ndarray) else value)


def _scaler(facts: Mapping[str, Any]) -> Step:
    offset, factor = (np.array(facts[part], np.float64) for part in ("offset", "factor"))

    def scaled(name: str, value: Any) -> Array:
        try:
            array = np.asarray(value, np.float64)
        except (TypeError, ValueError) as error:
            raise InputError("E-INPUT-DTYPE", f"input '{name}' takes numbers to scale") from error
        if offset.ndim and array.shape[-1:] != offset.shape:
            raise InputError(
                "E-INPUT-SHAPE",
                f"input '{name}': expected {len(offset)} features to scale, got {array.shape}",
            )
        return ((array - offset) * factor).astype(facts["dtype"])

    def step(name: str, value: Any) -> Any:
        ragged = isinstance(value, list | tuple) and len({np.shape(row) for row in value}) > 1
        return [scaled(name, row) for row in value] if ragged else scaled(name, value)

    return step
