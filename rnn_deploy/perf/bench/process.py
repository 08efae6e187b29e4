"""A contender in a process of its own: load it, call it, time it.

A crash of native code, a hang or an error there is an RnnDeployError here, and the rest goes on.
"""

import time
from typing import Self

from rnn_deploy.perf.bench.contender import Contender
from rnn_deploy.perf.bench.opening import Feeds
from rnn_deploy.perf.bench.worker import ContenderServer
from rnn_deploy.spec import Array
from rnn_deploy.workers.process import WorkerProcess

TIME_LIMIT = 300.0  # seconds that one answer may take


class ContenderProcess:
    """A loaded contender. startup_ns: from no process to a loaded one."""

    def __init__(self, contender: Contender, *, time_limit: float = TIME_LIMIT) -> None:
        start = time.perf_counter_ns()
        self._process = WorkerProcess(ContenderServer, time_limit=time_limit)
        try:
            self._process.ask("load", contender)
        except BaseException:
            self.close()
            raise
        self.startup_ns = time.perf_counter_ns() - start

    def first(self, feeds: Feeds) -> tuple[int, list[Array]]:
        """Make the first call with `feeds`; return its nanoseconds and its outputs."""
        first: tuple[int, list[Array]] = self._process.ask("first", dict(feeds))
        return first

    def calls(self, count: int) -> list[int]:
        """Call `count` times; return the nanoseconds of each call."""
        return list(self._process.ask("calls", count))

    def peak_bytes(self) -> int | None:
        """Return the most memory the process has held so far, None if the system does not tell."""
        peak: int | None = self._process.ask("peak_bytes")
        return peak

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
