"""Show the arguments in our docstrings, lines such as "seed: random seed.", as a list."""

import re
from typing import Any

import griffe

ARGUMENT = re.compile(r"(?:^|(?<=[.)] ))([a-z_]\w*(?:, [a-z_]\w*)*): ", re.MULTILINE)


class ArgumentLists(griffe.Extension):
    """Rewrite each docstring that MkDocs shows."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = with_lists(obj.docstring.value)


def with_lists(docstring: str) -> str:
    """Return the docstring with each paragraph of arguments as a Markdown list."""
    paragraphs = docstring.split("\n\n")
    return "\n\n".join(_as_list(p) if ARGUMENT.match(p) else p for p in paragraphs)


def _as_list(paragraph: str) -> str:
    lines = " ".join(line.strip() for line in paragraph.splitlines())
    return ARGUMENT.sub(r"\n- **\1**: ", lines).strip()
