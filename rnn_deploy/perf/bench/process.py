"""A contender in a process of its own: what is asked of it.

A crash of native code, a hang or an error there is an RnnDeployError here, and the rest goes on.
"""

import time
from typing import Self

from rnn_deploy.perf.bench.contender import Contender
from rnn_deploy.perf.bench.opening import Feeds
from rnn_deploy.perf.bench.worker import ContenderServer
from rnn_deploy.spec import Array
from rnn_deploy.workers.process import WorkerProcess

LIMIT = 300.0  # seconds that one answer may take


class ContenderProcess:
    """A loaded contender. startup_ns: from no process to a loaded one."""

    def __init__(self, contender: Contender, *, limit: float = LIMIT) -> None:
        start = time.perf_counter_ns()
        self._process = WorkerProcess(ContenderServer, limit=limit)
        try:
            self._process.ask("load", contender)
        except BaseException:
            self.close()
            raise
        self.startup_ns = time.perf_counter_ns() - start

    def first(self, feeds: Feeds) -> tuple[int, list[Array]]:
        """Take the feeds, make the first call; the nanoseconds it took, and its outputs."""
        taken: tuple[int, list[Array]] = self._process.ask("first", dict(feeds))
        return taken

    def calls(self, count: int) -> list[int]:
        """Call so many times; the nanoseconds each took."""
        return list(self._process.ask("calls", count))

    def peak_bytes(self) -> int:
        """The most memory the process has held so far."""
        return int(self._process.ask("peak_bytes"))

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
