"""Check how much memory a file needs before any memory is allocated.

A file may always need as many bytes as it has. A compressed archive or a seed can need more than
that. The user can raise the limit for those.
"""

import os
import re

from rnn_deploy.errors import InputError

VARIABLE = "RNN_DEPLOY_SIZE_LIMIT"
DEFAULT = 2 * 1024**3
UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def size_limit() -> int:
    """Return the limit in bytes: $RNN_DEPLOY_SIZE_LIMIT, such as 500M or 8G, or 2 GiB."""
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return DEFAULT
    found = re.fullmatch(r"(\d{1,15})([KMGT]?)", text.upper())
    if found is None:
        raise InputError(
            "E-OPTION-SIZE-LIMIT", f"{VARIABLE} is '{text}', expected bytes such as 500M or 8G"
        )
    return int(found[1]) * UNITS[found[2]]


def refuse_larger(size: int, what: str, own_size: int = 0) -> None:
    """Raise InputError if `what` needs more bytes than its file has and than the limit.

    size: the bytes that it needs. own_size: the bytes of the file.
    """
    limit = size_limit()
    if size > max(limit, own_size):
        raise InputError(
            "E-DATA-SIZE",
            f"{what} needs {_spelled(size)} of memory, the limit is {_spelled(limit)}; if you"
            f" trust the file, raise the limit: {VARIABLE}={_enough(size)}",
        )


def _spelled(size: int) -> str:
    return f"{size / 1024**3:,.1f} GiB" if size >= 2**29 else f"{size / 1024**2:,.1f} MiB"


def _enough(size: int) -> str:
    return f"{size // 1024**3 + 1}G" if size < 2**53 else str(size)
