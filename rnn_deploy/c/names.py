"""C identifiers for the names that Keras allows: unique, no keywords, with a note on changes."""

import re

_KEYWORDS = frozenset(
    [
        "auto",
        "break",
        "case",
        "char",
        "const",
        "continue",
        "default",
        "do",
        "double",
        "else",
        "enum",
        "extern",
        "float",
        "for",
        "goto",
        "if",
        "inline",
        "int",
        "long",
        "register",
        "restrict",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "struct",
        "switch",
        "typedef",
        "union",
        "unsigned",
        "void",
        "volatile",
        "while",
        "_Bool",
        "_Complex",
        "_Imaginary",
    ]
)
# Keywords of C++, which includes the header, and names that the sources use themselves.
_TAKEN = frozenset(
    [
        "class",
        "namespace",
        "template",
        "this",
        "new",
        "delete",
        "private",
        "public",
        "protected",
        "operator",
        "virtual",
        "typename",
        "bool",
        "true",
        "false",
        "try",
        "catch",
        "throw",
        "using",
        "explicit",
        "friend",
        "mutable",
        "export",
        "and",
        "or",
        "not",
        "xor",
        "asm",
        "state",
        "steps",
        "work",
        "a",
        "t",
        "mask",
        "memcpy",
        "memset",
        "main",
        "NULL",
    ]
)


class Names:
    """Assigns an identifier to each thing, and records which names were changed."""

    def __init__(self) -> None:
        self._used: set[str] = set(_TAKEN)
        self._known: dict[object, str] = {}
        self.changed: dict[str, str] = {}

    def of(self, key: object, name: str, *, report: bool = False) -> str:
        """Return the identifier of `key`, made from `name` the first time."""
        if key not in self._known:
            self._known[key] = self._new(name)
            if report and self._known[key] != name:
                self.changed[name] = self._known[key]
        return self._known[key]

    def _new(self, name: str) -> str:
        base = re.sub(r"[^0-9A-Za-z_]", "_", name)
        # Names that begin with an underscore or with this prefix are reserved.
        base = re.sub(r"^(?=[0-9])|^_+(?=.)|^(?=model_)", "v_", base, flags=re.IGNORECASE)
        base = base if base.strip("_") else "v"
        found, count = base + "_" if base in _KEYWORDS else base, 1
        while found in self._used:
            count += 1
            found = f"{base}_{count}"
        self._used.add(found)
        return found
