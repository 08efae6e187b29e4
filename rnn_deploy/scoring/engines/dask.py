"""Dask: a cluster at an address, or workers on this machine.

All machines need rnn-deploy, and the same paths for the bundle, the inputs and the output.
"""

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from rnn_deploy.errors import RuntimeUnavailableError, one_line
from rnn_deploy.optional import require
from rnn_deploy.scoring.engines.base import EngineOptions, Outcomes
from rnn_deploy.scoring.job import ScoreJob, Shard
from rnn_deploy.scoring.sequences import Fault
from rnn_deploy.scoring.shard import Outcome, score_shard

CONNECT = 15.0  # seconds to reach a scheduler
WITHOUT_WORKERS = 60.0  # seconds that a cluster may have no worker
WAIT = 1.0


class DaskEngine:
    """Tasks on Dask workers."""

    def run(self, job: ScoreJob, shards: Sequence[Shard], options: EngineOptions) -> Outcomes:
        """Yield the outcome of each shard."""
        distributed = require("distributed")
        for name in ("distributed", "distributed.client", "tornado.application"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # we report failures ourselves
        with ExitStack() as stack:
            client = _client(distributed, options, stack)
            submitted = {
                client.submit(
                    score_shard, job, shard, pure=False, retries=options.retries,
                    key=f"rnn-deploy-{job.digest[:8]}-{shard.number}-{time.time_ns()}",
                ): shard.number
                for shard in shards
            }  # fmt: skip
            yield from _outcomes(distributed, client, submitted)


def _client(distributed: Any, options: EngineOptions, stack: ExitStack) -> Any:
    try:
        if options.address is None:
            with _without_standard_error():
                cluster = stack.enter_context(
                    distributed.LocalCluster(
                        n_workers=options.processes, threads_per_worker=1, processes=True,
                        dashboard_address=None, silence_logs=logging.CRITICAL,
                    )
                )  # fmt: skip
            return stack.enter_context(distributed.Client(cluster))
        client = stack.enter_context(distributed.Client(options.address, timeout=CONNECT))
        client.wait_for_workers(1, timeout=CONNECT)
        return client
    except (OSError, TimeoutError, ValueError) as error:
        raise RuntimeUnavailableError(
            "E-SCORE-CLUSTER",
            f"the Dask cluster at {options.address or 'this machine'} cannot be reached"
            f" ({one_line(error) or type(error).__name__}); start it with: dask scheduler, and on"
            " each machine: dask worker ADDRESS",
        ) from error


@contextmanager
def _without_standard_error() -> Iterator[None]:
    """While open, new processes do not inherit standard error.

    A program that reads our standard error waits until all processes have closed it. Python's
    resource tracker, which the workers need, ends only after this process.
    """
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _outcomes(distributed: Any, client: Any, submitted: dict[Any, int]) -> Iterator[Outcome]:
    alone = time.monotonic()
    waiting = set(submitted)
    while waiting:
        try:
            done = distributed.wait(waiting, timeout=WAIT, return_when="FIRST_COMPLETED").done
        except (TimeoutError, distributed.TimeoutError):
            done = set()
        for future in done:
            yield _outcome(future, submitted[future])
            future.release()
        waiting -= done
        if done or _has_workers(client):
            alone = time.monotonic()
        elif time.monotonic() - alone > WITHOUT_WORKERS:
            raise RuntimeUnavailableError(
                "E-SCORE-CLUSTER",
                f"the Dask cluster has had no worker for {WITHOUT_WORKERS:g} s; {len(waiting)}"
                " shards are left: start workers and repeat the command",
            )


def _has_workers(client: Any) -> bool:
    try:
        return bool(client.scheduler_info(n_workers=-1)["workers"])
    except (OSError, KeyError, TypeError):
        return False


def _outcome(future: Any, number: int) -> Outcome:
    error = future.exception() if future.status in ("error", "cancelled", "lost") else None
    if error is None and future.status == "finished":
        outcome: Outcome = future.result()
        return outcome
    kind = type(error).__name__
    if kind == "KilledWorker":
        reason = "every worker that ran it ended"
    else:
        reason = f"{kind}: {one_line(error)}" if error is not None else f"it was {future.status}"
    return Outcome(number, fault=Fault("E-SCORE-WORKER", reason))
