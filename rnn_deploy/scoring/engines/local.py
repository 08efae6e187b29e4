"""Processes of this machine. A process that ends is replaced, and its shard is repeated.

Each process has a thread here that sends it one shard at a time, so that it is known which shard
ended it.
"""

import queue
import threading
from collections.abc import Sequence

from rnn_deploy.errors import one_line
from rnn_deploy.scoring.engines.base import EngineOptions, Outcomes
from rnn_deploy.scoring.job import ScoreJob, Shard
from rnn_deploy.scoring.sequences import Fault
from rnn_deploy.scoring.shard import Outcome, ShardServer
from rnn_deploy.workers.process import WorkerError, WorkerProcess

SHARD_SECONDS = 3600.0  # the limit for one shard, which usually takes seconds
WAIT = 0.2  # seconds between two checks for a signal


class LocalEngine:
    """A pool of processes."""

    def run(self, job: ScoreJob, shards: Sequence[Shard], options: EngineOptions) -> Outcomes:
        """Yield the outcome of each shard; ending the iteration ends the processes."""
        waiting: queue.SimpleQueue[Shard] = queue.SimpleQueue()
        for shard in shards:
            waiting.put(shard)
        outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        count = min(options.processes, len(shards))
        pool = [_PoolWorker(job, waiting, outcomes, options.retries) for _ in range(count)]
        for worker in pool:
            worker.start()
        try:
            for _ in shards:
                while True:
                    try:
                        outcome = outcomes.get(timeout=WAIT)
                        break
                    except queue.Empty:
                        continue
                yield outcome
        finally:
            for worker in pool:
                worker.end()
            for worker in pool:
                worker.join()


class _PoolWorker(threading.Thread):
    """The thread of one process."""

    def __init__(
        self,
        job: ScoreJob,
        waiting: "queue.SimpleQueue[Shard]",
        outcomes: "queue.SimpleQueue[Outcome]",
        retries: int,
    ) -> None:
        super().__init__(daemon=True)
        self._job, self._waiting, self._outcomes = job, waiting, outcomes
        self._retries = retries
        self._process: WorkerProcess | None = None
        self._stopped = False
        self._lock = threading.Lock()

    def run(self) -> None:
        while not self._stopped:
            try:
                shard = self._waiting.get_nowait()
            except queue.Empty:
                break
            self._outcomes.put(self._outcome(shard))
        self._close()

    def end(self) -> None:
        """End the process at once; the next run repeats its shard."""
        self._stopped = True
        self._close()

    def _outcome(self, shard: Shard) -> Outcome:
        reason = ""
        for _ in range(self._retries + 1):
            if self._stopped:
                break
            try:
                outcome: Outcome = self._server().ask("score", shard)
                return outcome
            except WorkerError as error:
                reason = f"the worker process {error.message}"
                self._close()
            except Exception as error:  # this thread must report every shard, after any exception
                self._close()
                reason = f"{type(error).__name__}: {one_line(error)}"
        tries = f"tried {self._retries + 1} times" if self._retries else "tried once"
        fault = Fault("E-SCORE-WORKER", f"{reason} ({tries})")
        return Outcome(shard.number, fault=fault)

    def _server(self) -> WorkerProcess:
        with self._lock:
            if self._process is None:
                self._process = WorkerProcess(ShardServer, self._job, time_limit=SHARD_SECONDS)
            return self._process

    def _close(self) -> None:
        with self._lock:
            if self._process is not None:
                self._process.close()
                self._process = None
