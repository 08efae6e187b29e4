"""`rnn-deploy score`: apply a bundle to a data set that is too large for one process."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import click

from rnn_deploy.bundle import open_bundle
from rnn_deploy.cli.console import data, progress, say
from rnn_deploy.cli.options import grouped
from rnn_deploy.inference.tables import TableRules
from rnn_deploy.scoring.engines.registry import ENGINES, LOCAL
from rnn_deploy.scoring.job import ScoreOptions
from rnn_deploy.scoring.record import NAME
from rnn_deploy.scoring.scoring import ScoreResult, score_files
from rnn_deploy.scoring.sources.base import MIB

SHOWN = 10  # the most failed sequences that are listed on standard error


@dataclass(frozen=True)
class ScoreRequest:
    """The parameters of `score`."""

    bundle: Path
    input: tuple[Path, ...]
    output: Path
    sequence: str | None
    order: str | None
    features: str | None
    states: bool
    state_in: Path | None
    engine: str
    address: str | None
    workers: int | None
    threads: int
    batch_size: int
    retries: int
    shard_size: float
    runtime: str | None
    force: bool
    as_json: bool

    @property
    def options(self) -> ScoreOptions:
        """The options for every engine."""
        names = tuple(name.strip() for name in (self.features or "").split(",") if name.strip())
        return ScoreOptions(
            TableRules(self.sequence, self.order, names), self.runtime, self.threads,
            self.batch_size, self.states, self.state_in, self.workers, self.retries,
            int(self.shard_size * MIB), self.force,
        )  # fmt: skip


@click.command("score")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--input",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR_OR_FILE",
    help="Score this file, or all files of this folder: .parquet, .npz, .npy, .jsonl, .csv; may be"
    " repeated.",
)
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write Parquet files to this folder. A run that was stopped continues.",
)
@click.option("--sequence", metavar="COLUMN", help="Column with the key of the sequence.")
@click.option(
    "--order",
    metavar="COLUMN",
    help="Column that orders the steps, for a table with a row for each step.",
)
@click.option(
    "--features",
    metavar="A,B,...",
    help="Columns of a table with a row for each step that hold the features, in the model's order."
    "  [default: the model's feature names, else all other columns]",
)
@click.option("--states", is_flag=True, help="Write the final states too.")
@click.option(
    "--state-in",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Continue from the states of a previous run, by key: its --output.",
)
@click.option(
    "--engine",
    type=click.Choice(list(ENGINES)),
    default=LOCAL,
    show_default=True,
    help="What runs the shards.",
)
@click.option(
    "--address",
    metavar="HOST:PORT",
    help="Use the Dask or Ray cluster at this address.  [default: workers on this machine]",
)
@click.option("--workers", type=int, help="Number of processes.  [default: one for each core]")
@click.option(
    "--threads", type=int, default=1, show_default=True, help="Threads within an operator."
)
@click.option(
    "--batch-size", type=int, default=256, show_default=True, help="Sequences in one call."
)
@click.option(
    "--retries",
    type=int,
    default=3,
    show_default=True,
    help="Repeat a shard this often if its process ends.",
)
@click.option(
    "--shard-size",
    type=float,
    default=32.0,
    show_default=True,
    metavar="MIB",
    help="Cut the input into shards of about this size.",
)
@click.option("--runtime", help="Runtime to use.  [default: the first available]")
@click.option("--force", is_flag=True, help="Replace parts of an earlier run that differ.")
@click.option("--json", "as_json", is_flag=True, help="Print how the run ended as JSON.")
@grouped(ScoreRequest)
def command(request: ScoreRequest) -> int:
    """Apply BUNDLE to a data set that is too large for one process or one machine.

    The output has a row for each sequence, in the order of the input. Sequences that cannot be
    scored have a reason in the column `error`; the exit code is 2 then, and 3 if a worker failed.
    """
    bundle = open_bundle(request.bundle)
    with progress(lines=True) as show:
        result = score_files(
            bundle, list(request.input), request.output, request.options, request.engine,
            request.address, show,
        )  # fmt: skip
    _report(result)
    if request.as_json:
        data(json.dumps(_facts(result), indent=1))
    return result.exit_code


def _facts(result: ScoreResult) -> dict[str, object]:
    facts = dataclasses.asdict(result)
    shards = {name: str(fault) for name, fault in result.failed_shards.items()}
    return {**facts, "output": str(result.output), "failed_shards": shards}


def _report(result: ScoreResult) -> None:
    for found in result.failures[:SHOWN]:
        say(f"not scored: key {found['key']!r} in {found['file']}: {found['reason']}")
    if result.failed > SHOWN:
        say(f"not scored: {result.failed - SHOWN} more; the column 'error' has every reason")
    for name, fault in result.failed_shards.items():
        say(f"shard failed: {name}: {fault}")
    there = f" ({result.skipped} were there already)" if result.skipped else ""
    scored = result.scored - result.failed
    say(
        f"scored {scored:,} of {result.sequences:,} sequences in {result.seconds:.1f} s,"
        f" {result.shards} shards{there}: {result.output} (see {NAME})"
    )
    if not result.complete:
        say("repeat the same command to score the shards that failed")
