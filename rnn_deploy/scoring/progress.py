"""The progress of a run: shards, sequences per second, remaining time."""

import time
from collections.abc import Callable


class Progress:
    """Counts finished shards and shows the progress. skipped: shards of an earlier run."""

    def __init__(
        self, sequences: int, shards: int, skipped: int, show: Callable[[str], None]
    ) -> None:
        self._sequences, self._shards, self._skipped = sequences, shards, skipped
        self._show, self._began = show, time.monotonic()
        self._done_shards = self._done_sequences = 0

    def add(self, sequences: int) -> None:
        """Count one more finished shard."""
        self._done_shards += 1
        self._done_sequences += sequences
        self._show(self.line(time.monotonic() - self._began))

    def line(self, seconds: float) -> str:
        """Return the progress after `seconds`, as a line."""
        left = self._shards - self._skipped - self._done_shards
        remaining = seconds / self._done_shards * left if self._done_shards else 0.0
        rate = self._done_sequences / seconds if seconds else 0.0
        done = f"{self._skipped + self._done_shards} of {self._shards} shards"
        return f"{done}, {rate:,.0f} sequences/s, {duration(remaining)} left"


def duration(seconds: float) -> str:
    """Return a time in words: 8 s, 3 min, 2 h 10 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
