"""Write whole lines, and know at every signal which line was the last one.

A signal ends a command between two lines, or while the reader of a full pipe does not read. So each
part of a line is written when the pipe has room for it, which is never interrupted; the wait is.
"""

import os
import select
from collections.abc import Callable
from typing import TextIO

from rnn_deploy.cli.ending import signals_wait

# The bytes that a pipe takes at once. On Windows a program cannot wait for a pipe, so a write may
# block.
PART = getattr(select, "PIPE_BUF", 1 << 16)
WAITS = os.name != "nt"


class LineWriter:
    """Write lines to a stream, each at once."""

    def __init__(self, stream: TextIO) -> None:
        stream.flush()
        self._descriptor = stream.fileno()

    def write(self, line: str, written: Callable[[], None]) -> None:
        """Write a line and call `written`; no signal is handled between the two."""
        rest = (line + "\n").encode()
        while rest:
            if WAITS:
                select.select([], [self._descriptor], [])
            with signals_wait():
                rest = rest[os.write(self._descriptor, rest[:PART]) :]
                if not rest:
                    written()
