"""Read counts, failures and keys from the parts of a run: only footers and single columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnn_deploy.optional import require
from rnn_deploy.scoring.job import ScoreJob, Shard
from rnn_deploy.scoring.scorer import ERROR
from rnn_deploy.scoring.shard import rows_of_part
from rnn_deploy.scoring.table_rows import keys_of

MOST_FAILURES = 1000  # the most failures that the record lists


@dataclass(frozen=True)
class Counts:
    """The sequences in all parts, the number of failures, and the first ones with reasons."""

    sequences: int
    failed: int
    failures: tuple[dict[str, Any], ...]


def counts_of(shards: Sequence[Shard], job: ScoreJob, key: str) -> Counts:
    """Count the sequences and failures in the parts."""
    parquet = require("pyarrow.parquet")
    total = failed = 0
    failures: list[dict[str, Any]] = []
    for shard in shards:
        rows = rows_of_part(job, shard)
        if rows is None:
            continue
        total += rows
        here = _failed_in(parquet.read_metadata(shard.path))
        failed += here
        if here and len(failures) < MOST_FAILURES:
            for found in _failures(shard.path, key):
                failures.append({**found, "file": shard.place})
    return Counts(total, failed, tuple(failures[:MOST_FAILURES]))


def _failed_in(metadata: Any) -> int:
    """Return how many rows of a file have a reason, from the statistics in its footer."""
    count = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group)
        columns = (rows.column(index) for index in range(rows.num_columns))
        (error,) = (column for column in columns if column.path_in_schema == ERROR)
        count += rows.num_rows - error.statistics.null_count
    return count


def _failures(path: Path, key: str) -> Iterator[dict[str, Any]]:
    parquet, compute = require("pyarrow.parquet"), require("pyarrow.compute")
    table = parquet.read_table(path, columns=[key, ERROR], use_threads=False)
    wrong = table.filter(compute.is_valid(table[ERROR]))
    for found, reason in zip(wrong[key].to_pylist(), wrong[ERROR].to_pylist(), strict=True):
        yield {"key": found, "reason": reason}


def keys_of_parts(shards: Sequence[Shard], key: str) -> Any:
    """Return the keys of all parts as one Arrow array."""
    arrow, parquet = require("pyarrow"), require("pyarrow.parquet")
    found = [
        keys_of(parquet.read_table(shard.path, columns=[key], use_threads=False)[key])
        for shard in shards
        if shard.path.exists()
    ]
    return arrow.concat_arrays(found)


def remove_other_parts(output: Path, shards: Sequence[Shard]) -> None:
    """Remove the parts that an earlier run with more shards left."""
    ours = {shard.path for shard in shards}
    for path in output.glob("part-*.parquet"):
        if path not in ours:
            path.unlink()
