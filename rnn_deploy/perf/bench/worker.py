"""The server in a contender's process: loads the contender, calls it, times each call."""

import sys
import time
from itertools import cycle
from pathlib import Path

from rnn_deploy.perf.bench.contender import Contender
from rnn_deploy.perf.bench.feeds import varied
from rnn_deploy.perf.bench.measure import timed
from rnn_deploy.perf.bench.opening import Call, Feeds, Opened, open_contender
from rnn_deploy.spec import Array

try:
    import resource
except ImportError:  # Windows has no such module
    resource = None  # type: ignore[assignment]


class ContenderServer:
    """Serves one contender; call `load` first, then `first`, then `calls`."""

    def __init__(self) -> None:
        self._opened: Opened = lambda feeds: lambda: ()
        self._call: Call = lambda: ()

    def load(self, contender: Contender) -> None:
        """Load the contender."""
        self._opened = open_contender(contender)

    def first(self, feeds: Feeds) -> tuple[int, list[Array]]:
        """Make the first call with `feeds`; return its nanoseconds and its outputs.

        Later calls alternate between other numbers (`feeds.varied`).
        """
        call = self._opened(feeds)
        start = time.perf_counter_ns()
        outputs = call()
        elapsed = time.perf_counter_ns() - start
        turns = cycle([self._opened(other) for other in varied(feeds)])
        self._call = lambda: next(turns)()
        return elapsed, list(outputs)

    def calls(self, count: int) -> list[int]:
        """Call `count` times; return the nanoseconds of each call."""
        return list(timed(self._call)(count))

    def peak_bytes(self) -> int | None:
        """Return the largest memory use of this process, None if unknown.

        On Linux it is VmHWM, which starts again with each program; ru_maxrss includes the parent's.
        """
        status = Path("/proc/self/status")
        if status.is_file():
            line = next(s for s in status.read_text().splitlines() if s.startswith("VmHWM:"))
            return int(line.split()[1]) * 1024
        if resource is None:
            return None
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
