"""How the commands write: data on standard output, messages and progress on standard error.

rich is imported only where something is drawn, since it costs more than running a small model.
"""

import io
import os
import re
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Literal, TextIO

import click

from rnn_deploy.errors import InputError

WIDTH_WITHOUT_TERMINAL = 120
LINE_SECONDS = 10.0  # the least time between two progress lines, if there is no terminal
OK, FAILED, HERE = "ok", "FAILED", "here"
_STYLES = {OK: "green", HERE: "green", FAILED: "bold red"}
# Log lines that TensorFlow and LiteRT write from native code at every log level start like this.
_NATIVE_LOG_LINE = re.compile(
    rb"[IWE]\d{4} \d\d:|[IWE]0000 |WARNING: All log messages before"
    rb"|To enable the following instructions|INFO: |WARNING:tensorflow:|WARNING:absl:"
)


def say(message: str) -> None:
    """Write a message to standard error; ignore a closed pipe."""
    try:
        click.echo(message, err=True)
    except BrokenPipeError:
        discard_output(sys.stderr)


def data(text: str) -> None:
    """Write data to standard output; raise InputError if it is closed."""
    refuse_closed_output()
    click.echo(text)


def refuse_closed_output() -> None:
    """Raise InputError if standard output is closed."""
    if sys.stdout is None:
        raise InputError(
            "E-OPTION-NO-OUTPUT",
            "standard output is closed, so the result cannot be printed; open it, or write to a"
            " file where the command has -o",
        )


def open_standard_descriptors() -> None:
    """Open the standard descriptors that the caller closed, so that no other file gets them."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            return


def discard_output(stream: TextIO) -> None:
    """Discard everything that is still written to a stream whose pipe is closed."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def escape_unprintable() -> None:
    """Make standard output escape the characters that its encoding lacks."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def without_native_log_lines() -> Iterator[None]:
    """While open, drop the log lines that native libraries write to standard error.

    They write to descriptor 2 directly. So a pipe replaces it, and a thread passes on all other
    lines. Python's own sys.stderr bypasses the pipe, so that it stays a terminal.
    """
    if sys.stderr is None:  # the caller closed it
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
        os.dup2(kept, 2)  # closes the last writing end of the pipe, so the thread ends
        passing.join()
        os.close(kept)


def _pass_on(read: int, out: int) -> None:
    with os.fdopen(read, "rb", buffering=0) as pipe:
        for line in pipe:
            if not _NATIVE_LOG_LINE.match(line):
                with suppress(BrokenPipeError):  # keep reading, or the writer blocks for ever
                    os.write(out, line)


@contextmanager
def progress(*, lines: bool = False) -> Iterator[Callable[[str], None]]:
    """Yield a function that shows the current step on a terminal.

    lines: without a terminal, write the steps as lines with the elapsed time, at most one every
    LINE_SECONDS.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield _progress_lines() if lines else lambda step: None
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        yield status.update


def _progress_lines() -> Callable[[str], None]:
    begun = monotonic()
    last = begun

    def show(step: str) -> None:
        nonlocal last
        now = monotonic()
        if now - last >= LINE_SECONDS:
            say(f"{now - begun:.0f} s: {step}")
            last = now

    return show


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table on standard output; columns whose name starts with ">" are right-aligned.

    On a terminal that is too narrow for its words, each row is a paragraph instead.
    """
    refuse_closed_output()
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    here = sys.stdout.isatty()
    most = Console().width if here else WIDTH_WITHOUT_TERMINAL
    names = [column.lstrip(">") for column in columns]
    widths = _widths([names, *rows], most)
    if here and _total(widths) > most:
        for line in _paragraphs(title, names, rows, most):
            click.echo(line)
        return
    drawn = Table(title=Text(title), title_justify="left", title_style="bold")
    for column, name, width in zip(columns, names, widths, strict=True):
        justify: Literal["left", "right"] = "left" if column == name else "right"
        drawn.add_column(name, justify=justify, width=width)
    for row in rows:
        drawn.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console(width=max(most, _total(widths))).print(drawn)


def _widths(cells: Sequence[Sequence[str]], most: int) -> list[int]:
    """Return the widths of a table's columns, `most` in all if their words can stay whole.

    cells: the row of names, then the other rows.
    """
    from rich.cells import cell_len

    columns = list(zip(*cells, strict=True))
    words = [[word for cell in column for word in cell.split()] for column in columns]
    least = [
        max(map(cell_len, (column[0], *of_column)))
        for column, of_column in zip(columns, words, strict=True)
    ]
    widths = [max(map(cell_len, column)) for column in columns]
    while _total(widths) > most and widths != least:
        spare = [width - low for width, low in zip(widths, least, strict=True)]
        widths[spare.index(max(spare))] -= 1
    return widths


def _total(widths: Sequence[int]) -> int:
    """Return the width of a table, with the lines and spaces between its columns."""
    return sum(widths) + 3 * len(widths) + 1


def _paragraphs(
    title: str, names: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> Iterator[str]:
    """Yield the lines of a table without columns: "name value; name value" for each row."""
    yield from textwrap.wrap(title, width)
    for row in rows:
        cells = zip(names, row, strict=True)
        text = "; ".join(f"{name} {cell}".strip() for name, cell in cells if cell)
        yield from textwrap.wrap(
            text, width, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False
        )


def verdict(passed: bool) -> str:
    """Return a verdict as a table's cell."""
    return OK if passed else FAILED
