"""The input of a worker: a job for the whole run, and one shard of it."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rnn_deploy.errors import InputError
from rnn_deploy.inference.tables import TableRules
from rnn_deploy.scoring.sources.base import Span

PART = "part-{:05d}.parquet"
CARRIED = "_carried-{:05d}.parquet"


@dataclass(frozen=True)
class ScoreOptions:
    """The options of a run, for any engine.

    rules: the columns of a table. runtime: None for the first available. threads: of one operator
    in one worker. batch_size: sequences in one call. states: whether to write final states.
    state_in: the output folder of a previous run. workers: None for one per core. retries: how
    often a shard is repeated after a crash. shard_bytes: the bytes of numbers in one shard.
    """

    rules: TableRules = field(default_factory=TableRules)
    runtime: str | None = None
    threads: int = 1
    batch_size: int = 256
    states: bool = False
    state_in: Path | None = None
    workers: int | None = None
    retries: int = 3
    shard_bytes: int = 32 * 2**20
    force: bool = False

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("threads", 1), ("workers", 1), ("retries", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                option = f"--{name.replace('_', '-')}"
                raise InputError("E-OPTION-NUMBER", f"{option} {value}: expected at least {least}")
        if self.shard_bytes < 1:
            raise InputError("E-OPTION-NUMBER", "--shard-size: expected more than 0 MB")


@dataclass(frozen=True)
class ScoreJob:
    """The common input of all shards. It is sent to workers, on other machines too.

    digest: of the bundle. duplicates: keys that occur twice, which are not scored.
    """

    bundle: str
    digest: str
    runtime: str
    entry: str
    rules: TableRules
    threads: int = 1
    batch_size: int = 256
    keep_states: bool = False
    state_in: str | None = None
    state_run: str | None = None
    duplicates: frozenset[Any] = frozenset()

    @property
    def settings(self) -> dict[str, Any]:
        """Return everything that determines the content of the output, besides the inputs."""
        facts = asdict(self)
        for name in ("bundle", "state_in", "duplicates", "rules"):
            del facts[name]
        facts |= {"sequence": self.rules.id, "order": self.rules.time}
        facts["features"] = ",".join(self.rules.features)
        return json.loads(json.dumps(facts))


@dataclass(frozen=True)
class Shard:
    """A part of one input file, and the file for its result.

    size, changed: of the input file, in bytes and nanoseconds, when the run was planned.
    """

    number: int
    place: str
    size: int
    changed: int
    span: Span
    output: str

    @property
    def path(self) -> Path:
        """Return the path of the result."""
        return Path(self.output) / PART.format(self.number)

    @property
    def label(self) -> str:
        """Return a name of the shard for messages."""
        return f"{self.place}, {self.path.name}"

    def identity(self, job: ScoreJob) -> str:
        """Return a digest of everything that determines the result of this shard."""
        facts = [Path(self.place).name, self.size, self.changed, asdict(self.span), job.settings]
        twice = sorted(map(str, job.duplicates))
        return hashlib.sha256(json.dumps([facts, twice]).encode()).hexdigest()
