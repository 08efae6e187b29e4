"""The error for an unknown class or function in a file; it is the same for all formats.

Keras has several messages for it. This module takes only the name from them, and finds the layer in
the configuration.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rnn_deploy.errors import UnsupportedModelError

_SAID = (
    r"Could not locate \w+ '([\w>]+(?:\.[\w>]+)*)'",
    r"Unknown [\w ]+: '?\"?([\w>]+(?:\.[\w>]+)*)",
    r"Could not deserialize class '([\w>]+(?:\.[\w>]+)*)'",
    r"Could not interpret [\w ]+ identifier: ([\w>]+(?:\.[\w>]+)*)",
    r"Unknown [\w ]+ '([\w>]+(?:\.[\w>]+)*)'",
    r"Unknown [\w ]+ '\{.*'config': '([\w>]+(?:\.[\w>]+)*)'",
)


def name_in(message: str) -> str | None:
    """Return the name that Keras does not know; None if the message is about something else."""
    found = (re.search(pattern, message) for pattern in _SAID)
    return next((match[1] for match in found if match), None)


def unknown_class(
    place: Path, name: str, config: Any = None, why: str = ""
) -> UnsupportedModelError:
    """Return the error for a name that a file needs.

    config: the model's configuration, which names the layer. why: additional facts.
    """
    short = name.rpartition(">")[2].rpartition(".")[2]
    layer = next(_layers_with(config, short), None)
    where = "needs" if layer is None else f"layer '{layer}' needs"
    return UnsupportedModelError(
        "E-SOURCE-CLASS",
        f"{place}: {where} '{name}', which Keras does not know{why}; add --custom FILE.py, a"
        " Python file that defines it, or export from Python within"
        f" keras.saving.custom_object_scope({{'{short}': {short}}})",
    )


def _layers_with(config: Any, name: str, inside: str | None = None) -> Iterator[str]:
    """Yield the names of the layers whose class, or one of whose options, is `name`."""
    if isinstance(config, dict):
        options = config.get("config")
        if "class_name" in config and isinstance(options, dict):
            inside = options.get("name") or config.get("name") or inside
        parts = list(config.values())
        own = [v for v in (config.get("class_name"), config.get("registered_name"))
               if isinstance(v, str)]  # fmt: skip
        if inside and any(value.rpartition(">")[2] == name for value in own):
            yield str(inside)
    elif isinstance(config, list | tuple):
        parts = list(config)
    else:
        return
    for part in parts:
        if inside and part == name and isinstance(config, dict):
            yield str(inside)
        yield from _layers_with(part, name, inside)
