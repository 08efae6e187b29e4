"""Ray: tasks on a cluster at an address, or on this machine.

All machines need rnn-deploy, and the same paths for the bundle, the inputs and the output.
"""

import logging
import os
import socket
from collections.abc import Sequence
from typing import Any

from rnn_deploy.errors import RuntimeUnavailableError, one_line
from rnn_deploy.optional import require
from rnn_deploy.scoring.engines.base import EngineOptions, Outcomes
from rnn_deploy.scoring.job import ScoreJob, Shard
from rnn_deploy.scoring.sequences import Fault
from rnn_deploy.scoring.shard import Outcome, score_shard

CONNECT = 10.0  # seconds to reach a cluster
WAIT = 1.0
AHEAD = 4  # shards per core that are submitted at a time


class RayEngine:
    """Ray Core tasks."""

    def run(self, job: ScoreJob, shards: Sequence[Shard], options: EngineOptions) -> Outcomes:
        """Yield the outcome of each shard."""
        ray = _started(options)
        try:
            task = ray.remote(score_shard).options(max_retries=options.retries, num_cpus=1)
            shared = ray.put(job)
            most = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
            left = list(reversed(shards))
            waiting: dict[Any, int] = {}
            while left or waiting:
                while left and len(waiting) < most:
                    shard = left.pop()
                    waiting[task.remote(shared, shard)] = shard.number
                done, _ = ray.wait(list(waiting), timeout=WAIT)
                for reference in done:
                    yield _outcome(ray, reference, waiting.pop(reference))
        finally:
            ray.shutdown()


def _started(options: EngineOptions) -> Any:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # otherwise Ray warns
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = require("ray")
    _refuse_unreachable(options.address)
    # With "local", Ray does not join a cluster whose address it finds in a file.
    own = {"num_cpus": options.processes, "include_dashboard": False}
    try:
        ray.init(
            address=options.address or "local", log_to_driver=False, configure_logging=True,
            logging_level=logging.CRITICAL, **({} if options.address else own),
        )  # fmt: skip
    except (OSError, RuntimeError, ValueError, TimeoutError) as error:
        raise _unreachable(options.address, error) from error
    return ray


def _refuse_unreachable(address: str | None) -> None:
    """Raise RuntimeUnavailableError if nothing answers, since Ray itself would try for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # "auto", or no address
    try:
        socket.create_connection((host, int(port)), CONNECT).close()
    except OSError as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str | None, error: Exception) -> RuntimeUnavailableError:
    return RuntimeUnavailableError(
        "E-SCORE-CLUSTER",
        f"the Ray cluster at {address or 'this machine'} cannot be reached ({one_line(error)});"
        " start it with: ray start --head",
    )


def _outcome(ray: Any, reference: Any, number: int) -> Outcome:
    try:
        outcome: Outcome = ray.get(reference)
        return outcome
    except ray.exceptions.WorkerCrashedError:
        reason = "every worker that ran it ended"
    except ray.exceptions.RayError as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
    return Outcome(number, fault=Fault("E-SCORE-WORKER", reason))
