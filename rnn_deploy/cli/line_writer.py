"""Write whole lines, so that after a signal it is known which line was the last one.

A signal ends a command between two lines, or while a full pipe makes it wait. So a part of a line
is written only when the pipe has room for it: a signal can interrupt the wait, but not the write.
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
    """Write lines to a stream, without a buffer."""

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
