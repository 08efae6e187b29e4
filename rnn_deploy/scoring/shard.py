"""Score one shard: read it chunk by chunk, run it, write one part. Repeating it is harmless.

An existing part with the identity of the shard is not scored again. A failure of the whole shard is
a result too, so that no worker shows a traceback.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnn_deploy.bundle import open_bundle
from rnn_deploy.errors import BundleReplacedError, InputError, RnnDeployError, one_line
from rnn_deploy.optional import require
from rnn_deploy.scoring.files import facts_in, write_whole
from rnn_deploy.scoring.job import ScoreJob, Shard
from rnn_deploy.scoring.layout import inputs_of, layout_of
from rnn_deploy.scoring.scorer import Scorer
from rnn_deploy.scoring.sequences import Fault
from rnn_deploy.scoring.sources.registry import open_source
from rnn_deploy.scoring.states import PreviousStates
from rnn_deploy.scoring.table_rows import sequences_from_lists, sequences_from_steps

IDENTITY = "identity"
_loaded: dict[ScoreJob, "LoadedJob"] = {}


@dataclass(frozen=True)
class Outcome:
    """The outcome of a shard. skipped: its part existed. fault: why it has no part."""

    number: int
    sequences: int = 0
    skipped: bool = False
    fault: Fault | None = None


class LoadedJob:
    """A job's bundle and previous states, loaded once in each process."""

    def __init__(self, job: ScoreJob) -> None:
        bundle = open_bundle(job.bundle)
        if bundle.digest != job.digest:
            raise BundleReplacedError(
                "E-BUNDLE-REPLACED",
                f"{job.bundle}: another bundle has replaced this one since the run started",
            )
        self.inputs = inputs_of(bundle, job.rules)
        self.scorer = Scorer(bundle, job)
        self.previous = (
            None if job.state_in is None else PreviousStates(Path(job.state_in), self.scorer.entry)
        )

    def tables(self, shard: Shard) -> Iterator[Any]:
        """Yield the scored chunks of a shard."""
        source = open_source(Path(shard.place), self.inputs)
        for sequences in source.read(shard.span):
            initial = None
            if self.previous is not None:
                initial = self.previous.initial(sequences.keys, shard.number)
            yield self.scorer.score(sequences, initial)


def score_shard(job: ScoreJob, shard: Shard) -> Outcome:
    """Score a shard and write its part; return the outcome."""
    try:
        found = rows_of_part(job, shard)
        if found is not None:
            return Outcome(shard.number, found, skipped=True)
        _refuse_changed(shard)
        tables = _loaded_job(job).tables(shard)
        write_whole(shard.path, tables, {IDENTITY: shard.identity(job)})
        _refuse_changed(shard)
        return Outcome(shard.number, rows_of_part(job, shard) or 0)
    except RnnDeployError as error:
        return Outcome(shard.number, fault=Fault.of(error))
    except Exception as error:  # the driver reports any exception
        reason = f"{type(error).__name__}: {one_line(error)}"
        return Outcome(shard.number, fault=Fault("E-SCORE-SHARD", reason))


def score_table(job: ScoreJob, table: Any) -> Any:
    """Return the scored sequences of an Arrow table; raise InputError if it does not fit."""
    loaded = _loaded_job(job)
    layout = layout_of(table.schema, loaded.inputs, "the table")
    if layout.is_long:
        return loaded.scorer.score(sequences_from_steps(table, layout))
    return loaded.scorer.score(sequences_from_lists(table, layout, 0))


def _loaded_job(job: ScoreJob) -> LoadedJob:
    if job not in _loaded:
        _loaded.clear()
        _loaded[job] = LoadedJob(job)
    return _loaded[job]


def rows_of_part(job: ScoreJob, shard: Shard) -> int | None:
    """Return the number of sequences in the part of a shard, None if there is no part."""
    facts = facts_in(shard.path) if shard.path.exists() else None
    if facts is None or facts.get(IDENTITY) != shard.identity(job):
        return None
    rows: int = require("pyarrow.parquet").read_metadata(shard.path).num_rows
    return rows


def _refuse_changed(shard: Shard) -> None:
    now = Path(shard.place).stat()
    if (now.st_size, now.st_mtime_ns) != (shard.size, shard.changed):
        if shard.path.exists():
            shard.path.unlink()
        raise InputError(
            "E-SCORE-CHANGED",
            f"{shard.place}: changed while it was scored; repeat the command when it is complete",
        )


class ShardServer:
    """Scores shards in a worker process of this machine."""

    def __init__(self, job: ScoreJob) -> None:
        self._job = job
        os.environ.setdefault("OMP_NUM_THREADS", str(job.threads))
        require("pyarrow").set_cpu_count(1)  # one thread per worker, since each core has a worker

    def score(self, shard: Shard) -> Outcome:
        """Score a shard."""
        return score_shard(self._job, shard)
