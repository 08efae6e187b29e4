"""The interface of an engine, which runs `score_shard` on shards, somewhere, in any order."""

import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from rnn_deploy.scoring.job import ScoreJob, Shard
from rnn_deploy.scoring.shard import Outcome

Outcomes = Generator[Outcome, None, None]


@dataclass(frozen=True)
class EngineOptions:
    """The options of an engine.

    address: of a cluster, None to start one on this machine. workers: None for one per core.
    retries: how often a shard is repeated after the process that ran it ended.
    """

    address: str | None = None
    workers: int | None = None
    retries: int = 3

    @property
    def processes(self) -> int:
        """Return the number of workers on this machine."""
        return self.workers or cores()


class Engine(Protocol):
    """Runs shards. Raises InputError or RuntimeUnavailableError if it cannot start."""

    def run(self, job: ScoreJob, shards: Sequence[Shard], options: EngineOptions) -> Outcomes:
        """Yield the outcome of each shard, as soon as it is known."""


def cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
