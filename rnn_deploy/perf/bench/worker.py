"""A contender as `process` has it served in a process of its own: loaded, called, timed."""

import resource
import sys
import time
from itertools import cycle
from pathlib import Path

from rnn_deploy.perf.bench.contender import Contender
from rnn_deploy.perf.bench.feeds import varied
from rnn_deploy.perf.bench.measure import timed
from rnn_deploy.perf.bench.opening import Call, Feeds, Opened, open_contender
from rnn_deploy.spec import Array


class ContenderServer:
    """The contender that answers, once it is loaded."""

    def __init__(self) -> None:
        self._opened: Opened = lambda feeds: lambda: ()
        self._call: Call = lambda: ()

    def load(self, contender: Contender) -> None:
        """Load it."""
        self._opened = open_contender(contender)

    def first(self, feeds: Feeds) -> tuple[int, list[Array]]:
        """Take the feeds, make the first call; the nanoseconds it took, and its outputs.

        The calls after it take turns with other numbers (`feeds.varied`).
        """
        call = self._opened(feeds)
        start = time.perf_counter_ns()
        outputs = call()
        taken = time.perf_counter_ns() - start
        turns = cycle([self._opened(other) for other in varied(feeds)])
        self._call = lambda: next(turns)()
        return taken, list(outputs)

    def calls(self, count: int) -> list[int]:
        """Call so many times; the nanoseconds each took."""
        return list(timed(self._call)(count))

    def peak_bytes(self) -> int:
        """The most memory this process has held.

        On Linux VmHWM, which begins anew with each program; ru_maxrss keeps its parent's.
        """
        status = Path("/proc/self/status")
        if status.is_file():
            line = next(s for s in status.read_text().splitlines() if s.startswith("VmHWM:"))
            return int(line.split()[1]) * 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
