"""Names and texts in source code. A bundle may come from anyone, so every name is converted."""

import keyword
import re
from collections.abc import Iterable

from rnn_deploy.errors import BundleError


def identifiers(names: Iterable[str], reserved: Iterable[str] = ()) -> dict[str, str]:
    """Return a unique identifier for each name, of ASCII letters, digits and _.

    reserved: identifiers that the program already has.
    """
    taken = {*reserved, *keyword.kwlist}
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "value"
        plain = f"v{plain}" if plain[0].isdigit() else plain
        candidate, number = plain, 2
        while candidate in taken:
            candidate, number = f"{plain}_{number}", number + 1
        taken.add(candidate)
        found[name] = candidate
    return found


def shown(text: str) -> str:
    """Return text for a comment or a heading; it cannot end a line, a comment or a string."""
    return re.sub(r"[^\w .,:;()=+-]", "_", text, flags=re.ASCII)[:200]


def quoted(text: str) -> str:
    """Return text as a string of C++, Swift or Python in double quotes.

    Raises BundleError for characters that none of them can hold, such as the end of a line.
    """
    if not text.isprintable():
        raise BundleError(
            "E-BUNDLE-DAMAGED",
            f"the bundle has the tensor name {text!r:.80}, which no program can hold; do not use"
            " this bundle, it was altered",
        )
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
