"""What the commands say: data on standard output, talk and progress on standard error.

rich is imported only where something is drawn, since it costs more than running a small model.
"""

import io
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal, TextIO

import click

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_WITHOUT_TERMINAL = 120
OK, FAILED, HERE = "ok", "FAILED", "here"
_STYLES = {OK: "green", HERE: "green", FAILED: "bold red"}
# How TensorFlow's and LiteRT's native code begins the lines it writes whatever the log level.
_CHATTER = re.compile(
    rb"[IWE]\d{4} \d\d:|[IWE]0000 |WARNING: All log messages before"
    rb"|To enable the following instructions|INFO: |WARNING:tensorflow:|WARNING:absl:"
)


def say(message: str) -> None:
    """One line of talk, on standard error; that nobody hears it costs nothing else."""
    try:
        click.echo(message, err=True)
    except BrokenPipeError:
        lead_nowhere(sys.stderr)


def data(text: str) -> None:
    """Data, on standard output."""
    click.echo(text)


def lead_nowhere(stream: TextIO) -> None:
    """Let a stream whose reader has gone take what is written, and flushed at the very end."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def replace_what_cannot_be_printed() -> None:
    """Let standard output write characters that its encoding lacks as escapes, not fail at them."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def without_chatter() -> Iterator[None]:
    """While open, lines that native libraries write to standard error are left out.

    They write to descriptor 2 directly, so it is led through a pipe where everything else passes.
    Python's own sys.stderr is led past it, so that it stays a terminal where it was one.
    """
    if sys.stderr is None:  # closed by whoever started this
        yield
        return
    sys.stderr.flush()
    kept, ours = os.dup(2), sys.stderr
    encoding, errors = ours.encoding, ours.errors
    if ours is sys.__stderr__:
        sys.stderr = os.fdopen(os.dup(2), "w", 1, encoding=encoding, errors=errors)
    read, write = os.pipe()
    os.dup2(write, 2)
    os.close(write)
    passing = threading.Thread(target=_pass_on, args=(read, kept), daemon=True)
    passing.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = ours
        os.dup2(kept, 2)  # closes the pipe's last writing end, so the thread comes to its end
        passing.join()
        os.close(kept)


def _pass_on(read: int, out: int) -> None:
    with os.fdopen(read, "rb", buffering=0) as pipe:
        for line in pipe:
            if not _CHATTER.match(line):
                with suppress(BrokenPipeError):  # else whoever writes would wait for ever
                    os.write(out, line)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Give a function that shows the current step, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda step: None
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        yield status.update


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output; a column whose name begins with ">" is set to the right."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=Text(title), title_justify="left", title_style="bold")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.startswith(">") else "left"
        drawn.add_column(column.lstrip(">"), justify=justify, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    _stdout().print(drawn)


def verdict(passed: bool) -> str:
    """A verdict as a table's cell."""
    return OK if passed else FAILED


def _stdout() -> "Console":
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL)
