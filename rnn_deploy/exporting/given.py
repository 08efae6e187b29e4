"""Data that a user adds to an export: labels, features, steps.

If the model has one input or output, the options need not name it. `ANY` is its name until the
model is known.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnn_deploy.bundle.attachments import Attachments
from rnn_deploy.errors import InputError

ANY = ""
_STANDARDIZE = (None, "lower", "strip_punctuation", "lower_and_strip_punctuation")
_SPLIT = (None, "whitespace", "character")


def given_attachments(
    labels: Any = None, features: Any = None, vocabulary: Any = None, scaler: Any = None
) -> Attachments:
    """Return the user's data; raise InputError for a form that docs/guides/inputs.md lacks."""
    steps: dict[str, list[Mapping[str, Any]]] = {}
    if vocabulary is not None:
        steps[ANY] = [vocabulary_step(vocabulary)]
    if scaler is not None:
        steps[ANY] = [*steps.get(ANY, []), scaler_step(scaler)]
    if len(steps.get(ANY, ())) > 1:
        raise InputError(
            "E-EXPORT-ATTACHMENT", "--vocabulary makes ids and --scaler scales numbers; give one"
        )
    return Attachments(_by_name("--labels", labels), _by_name("--features", features), steps)


def scaler_step(given: Any) -> dict[str, Any]:
    """Return the step of a scaler with scikit-learn's parameters: mean and scale, or min and scale.

    StandardScaler: (x - mean) / scale. MinMaxScaler: x * scale + min.
    """
    names = {name.rstrip("_"): name for name in given} if isinstance(given, Mapping) else {}
    if set(names) == {"mean", "scale"}:
        mean, scale = (_numbers(name, given[names[name]]) for name in ("mean", "scale"))
        if np.any(scale == 0):
            raise InputError("E-EXPORT-ATTACHMENT", "--scaler: 'scale' must not be 0")
        offset, factor = mean, 1 / scale
    elif set(names) == {"min", "scale"}:
        least, scale = (_numbers(name, given[names[name]]) for name in ("min", "scale"))
        if np.any(scale == 0):
            raise InputError("E-EXPORT-ATTACHMENT", "--scaler: 'scale' must not be 0")
        offset, factor = -least / scale, scale
    else:
        raise InputError(
            "E-EXPORT-ATTACHMENT",
            "--scaler: expected 'mean' and 'scale' (StandardScaler), or 'min' and 'scale'"
            f" (MinMaxScaler), got {', '.join(map(str, names)) or type(given).__name__}",
        )
    if offset.shape != factor.shape or offset.ndim > 1:
        raise InputError(
            "E-EXPORT-ATTACHMENT",
            f"--scaler: its arrays have the shapes {offset.shape} and {factor.shape}; expected one"
            " number for each feature in both",
        )
    return {"kind": "scaler", "offset": offset.tolist(), "factor": factor.tolist()}


def vocabulary_step(given: Any) -> dict[str, Any]:
    """Return the step of a list of tokens, of TextVectorization's settings, or of a Tokenizer."""
    if isinstance(given, Mapping) and given.get("class_name") == "Tokenizer":
        return _old_tokenizer(given["config"])
    if isinstance(given, Mapping):
        return _settings(given)
    if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray):
        raise InputError(
            "E-EXPORT-ATTACHMENT",
            f"--vocabulary: expected a list of tokens or settings, got {type(given).__name__}",
        )
    return _settings({"vocabulary": list(given)})


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    known = {"vocabulary", "standardize", "split", "ngrams", "output_sequence_length"}
    unknown = set(given) - known
    vocabulary = given.get("vocabulary")
    if unknown or not isinstance(vocabulary, list) or not vocabulary:
        raise InputError(
            "E-EXPORT-ATTACHMENT",
            "--vocabulary: expected a list 'vocabulary' and the settings"
            f" {', '.join(sorted(known - {'vocabulary'}))} of TextVectorization, got"
            f" {', '.join(sorted(unknown)) or 'no vocabulary'}",
        )
    standardize = given.get("standardize", "lower_and_strip_punctuation")
    split, ngrams = given.get("split", "whitespace"), given.get("ngrams")
    if standardize not in _STANDARDIZE or split not in _SPLIT:
        raise InputError(
            "E-EXPORT-ATTACHMENT",
            f"--vocabulary: unknown setting standardize={standardize!r} or split={split!r}",
        )
    words = [str(word) for word in vocabulary]
    if words[:1] != [""]:
        words = ["", "[UNK]", *words]
    twice = len(set(words)) < len(words)
    if twice or words[1:2] != ["[UNK]"]:
        raise InputError(
            "E-EXPORT-ATTACHMENT",
            "--vocabulary: a token occurs twice, or the second is not [UNK]; give the list that"
            " layer.get_vocabulary() returns",
        )
    return {
        "kind": "text",
        "standardize": standardize,
        "split": split,
        "ngrams": list(range(1, ngrams + 1))
        if isinstance(ngrams, int)
        else ngrams and list(ngrams),
        "length": given.get("output_sequence_length"),
        "pad": False,
        "vocabulary": words,
        "special": ["", "[UNK]"],
        "mask": "",
        "unknown": 1,
    }


def _old_tokenizer(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the step of `Tokenizer.to_json()`; its word_index is JSON within JSON."""
    index = config["word_index"]
    words = json.loads(index) if isinstance(index, str) else dict(index)
    return {
        "kind": "tokenizer",
        "lower": bool(config["lower"]),
        "filters": config["filters"] or "",
        "separator": config["split"],
        "characters": bool(config["char_level"]),
        "words": config["num_words"],
        "unknown": config["oov_token"],
        "index": words,
    }


def _by_name(option: str, given: Any) -> dict[str, list[str]]:
    if given is None:
        return {}
    by_name = given if isinstance(given, Mapping) else {ANY: given}
    for listed in by_name.values():
        words = not isinstance(listed, str) and all(isinstance(word, str) for word in listed)
        if not words or not len(listed) or len(set(listed)) < len(listed):
            raise InputError(
                "E-EXPORT-ATTACHMENT",
                f"{option}: expected a list of different names, got {listed!r:.60}",
            )
    return {name: list(listed) for name, listed in by_name.items()}


def _numbers(name: str, value: Any) -> Any:
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if not np.isfinite(array).all():
        raise InputError("E-EXPORT-ATTACHMENT", f"--scaler: '{name}' must hold finite numbers")
    return array
