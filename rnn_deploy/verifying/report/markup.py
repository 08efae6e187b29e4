"""HTML elements as text; whatever is not Markup already is escaped."""

from collections.abc import Iterable
from html import escape


class Markup(str):
    """Text that is HTML."""

    __slots__ = ()


def tag(name: str, *children: str, cls: str = "", **attributes: str) -> Markup:
    """An element with its children; `cls` is its class."""
    given = ({"class": cls} if cls else {}) | attributes
    said = "".join(f' {key}="{escape(value)}"' for key, value in given.items())
    inner = "".join(child if isinstance(child, Markup) else escape(child) for child in children)
    return Markup(f"<{name}{said}>{inner}</{name}>")


def table(heads: Iterable[str], rows: Iterable[Markup]) -> Markup:
    """A table that scrolls where it is too wide; a head that begins with ">" is of numbers."""
    cells = (tag("th", head.lstrip(">"), cls="number" if head[:1] == ">" else "") for head in heads)
    inner = tag("thead", tag("tr", *cells)), tag("tbody", *rows)
    return tag("div", tag("table", *inner), cls="scroll")


def facts(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Names with what is said of them."""
    return tag("dl", *(part for name, said in pairs for part in (tag("dt", name), tag("dd", said))))
