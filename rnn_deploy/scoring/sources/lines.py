"""Spans of text files that consist of whole lines."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from rnn_deploy.scoring.sources.base import Span

BLOCK = 2**20


def line_starts(place: Path, first: int, target: int) -> list[int]:
    """Return the starts of lines about `target` bytes apart, from byte `first`."""
    size = place.stat().st_size
    starts = [first] if first < size else []
    with place.open("rb") as file:
        while starts and starts[-1] + target < size:
            file.seek(starts[-1] + target)
            file.readline()
            if file.tell() >= size:
                break
            starts.append(file.tell())
    return starts


def spans_between(starts: list[int], size: int) -> tuple[Span, ...]:
    """Return the spans from each start to the next one."""
    return tuple(Span(a, b) for a, b in pairwise([*starts, size]) if a < b)


def blocks(place: Path, span: Span, size: int) -> Iterator[bytes]:
    """Yield the lines of a span in blocks of about `size` bytes."""
    with place.open("rb") as file:
        file.seek(span.start)
        left = span.stop - span.start
        while left > 0:
            block = file.read(min(size, left))
            left -= len(block)
            if not block:
                return
            if left > 0 and not block.endswith(b"\n"):
                rest = file.readline()
                left -= len(rest)
                block += rest
            yield block
