"""Options of `export` for what belongs to a model: labels, features, vocabulary, scaler."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from rnn_deploy.bundle import npz
from rnn_deploy.errors import InputError

_OPTIONS = (
    click.option(
        "--labels",
        multiple=True,
        metavar="[OUTPUT=]FILE",
        help="Class names of an output: a .txt file with a name per line, or a .json list.",
    ),
    click.option(
        "--features",
        multiple=True,
        metavar="[INPUT=]A,B,...",
        help="Names of an input's features, in order; `run` uses them to find a table's columns.",
    ),
    click.option(
        "--vocabulary",
        type=click.Path(path_type=Path),
        help="Vocabulary, so that `run` and `predict` accept text: a .txt file with a token per"
        " line, or .json (docs/guides/inputs.md).",
    ),
    click.option(
        "--scaler",
        type=click.Path(path_type=Path),
        help="Mean and scale of the features (.json or .npz): `run` and `predict` apply it.",
    ),
)
NAMES = ("labels", "features", "vocabulary", "scaler")


def attachment_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read_attachments(
    labels: Sequence[str],
    features: Sequence[str],
    vocabulary: Path | None,
    scaler: Path | None,
) -> dict[str, Any]:
    """Return the options' values as `rnn_deploy.export` takes them."""
    return {
        "labels": {name: _names(Path(text)) for name, text in map(_pair, labels)} or None,
        "features": {n: [w.strip() for w in t.split(",")] for n, t in map(_pair, features)} or None,
        "vocabulary": None if vocabulary is None else _vocabulary(vocabulary),
        "scaler": None if scaler is None else _scaler(scaler),
    }


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    return (name, value) if equals else ("", word)


def _names(place: Path) -> list[str]:
    if place.suffix.lower() == ".json":
        found: list[str] = _json(place)
        if isinstance(found, Mapping):
            raise _unfit(place, "expected a list of names")
        return found
    return [line for line in _lines(place) if line]


def _vocabulary(place: Path) -> Any:
    return _json(place) if place.suffix.lower() == ".json" else _lines(place)


def _scaler(place: Path) -> Any:
    ending = place.suffix.lower()
    if ending == ".json":
        return _json(place)
    if ending == ".npz" and place.is_file():
        try:
            return npz.read_npz(place)
        except ValueError as error:
            raise _unfit(place, str(error)) from error
    if ending in (".pkl", ".pickle", ".joblib"):
        raise _unfit(
            place,
            "a pickle can run code, so it is not read; write its arrays:"
            " np.savez('scaler.npz', mean=scaler.mean_, scale=scaler.scale_)",
        )
    raise _unfit(place, "expected a .json or .npz file that exists")


def _json(place: Path) -> Any:
    text = "\n".join(_lines(place))
    try:
        found = json.loads(text)
        return json.loads(found) if isinstance(found, str) else found  # a string: Tokenizer.to_json
    except (ValueError, RecursionError) as error:
        raise _unfit(place, f"is no JSON ({error})") from error


def _lines(place: Path) -> list[str]:
    try:
        return place.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise _unfit(place, f"is not UTF-8 text ({error})") from error


def _unfit(place: Path, why: str) -> InputError:
    return InputError("E-EXPORT-ATTACHMENT", f"{place}: {why}")
