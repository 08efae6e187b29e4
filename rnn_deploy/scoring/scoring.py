"""Score files: plan, run the missing shards, and record how the run ended.

plan -> engine -> parts -> counts from the parts -> _run.json
"""

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rnn_deploy.bundle import Bundle, open_bundle
from rnn_deploy.bundle.locks import FileLock
from rnn_deploy.errors import InputError
from rnn_deploy.inference.tables import TableRules
from rnn_deploy.optional import installed_version, require
from rnn_deploy.runtimes.base import Runtime, refuse_if_unavailable
from rnn_deploy.runtimes.registry import default_runtime, runtime_named
from rnn_deploy.scoring.engines.base import Engine, EngineOptions
from rnn_deploy.scoring.engines.registry import LOCAL, engine_named
from rnn_deploy.scoring.files import remove_unfinished
from rnn_deploy.scoring.job import ScoreJob, ScoreOptions
from rnn_deploy.scoring.layout import ROW, inputs_of
from rnn_deploy.scoring.plan import Plan, plan_of
from rnn_deploy.scoring.progress import Progress
from rnn_deploy.scoring.record import RunRecord, refuse_other_run
from rnn_deploy.scoring.results import counts_of, keys_of_parts, remove_other_parts
from rnn_deploy.scoring.scorer import refuse_coupled, refuse_names
from rnn_deploy.scoring.sequences import Fault
from rnn_deploy.scoring.shard import rows_of_part
from rnn_deploy.scoring.sources.base import MIB
from rnn_deploy.scoring.states import PreviousStates, previous_run
from rnn_deploy.spec import SEQUENCE, STREAM

LOCK = ".lock"
Show = Callable[[str], None]


@dataclass(frozen=True)
class ScoreResult:
    """The result of a run.

    sequences: in the input. scored: in the parts. failed: scored ones with a reason in place of
    outputs. skipped: shards of an earlier run. failed_shards: shards without a part, with the
    reason.
    """

    output: Path
    sequences: int
    scored: int
    failed: int
    shards: int
    skipped: int
    failed_shards: dict[str, Fault]
    failures: tuple[dict[str, Any], ...]
    seconds: float

    @property
    def complete(self) -> bool:
        """Return whether every shard has a part."""
        return not self.failed_shards

    @property
    def exit_code(self) -> int:
        """Return 0 if every sequence was scored, 2 for invalid inputs, 3 if a worker failed."""
        crashed = {"E-SCORE-WORKER", "E-SCORE-SHARD"} & {
            fault.code for fault in self.failed_shards.values()
        }
        return 3 if crashed else 0 if self.ok else 2

    @property
    def ok(self) -> bool:
        """Return whether every sequence was scored."""
        return self.complete and not self.failed


def score(
    bundle: str | Path | Bundle,
    input: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    sequence: str | None = None,
    order: str | None = None,
    features: Sequence[str] = (),
    states: bool = False,
    state_in: str | Path | None = None,
    runtime: str | None = None,
    engine: str = LOCAL,
    address: str | None = None,
    workers: int | None = None,
    threads: int = 1,
    batch_size: int = 256,
    retries: int = 3,
    shard_size: float = 32.0,
    force: bool = False,
    progress: Show | None = None,
) -> ScoreResult:
    """Score a data set that is too large for one process: files in, Parquet files out.

    input: files or folders (.parquet, .npz, .npy, .jsonl, .csv). output: a folder; a stopped run
    continues there. sequence: the column with the key. order, features: columns of a table with a
    row for each step. states: write final states; state_in: the output of a previous run, from
    whose states the sequences continue, by key. engine: "local", "dask" or "ray". address: of its
    cluster. workers: processes, by default one per core. shard_size: MiB of numbers in one shard.
    force: replace parts of an earlier run that differ. progress: called with lines of text.

    Sequences that cannot be scored have a reason in the column `error`; see `ScoreResult`. Raises
    InputError for invalid inputs, options and output folders.
    """
    places = [input] if isinstance(input, str | Path) else input
    options = ScoreOptions(
        TableRules(sequence, order, tuple(features)), runtime, threads, batch_size, states,
        None if state_in is None else Path(state_in), workers, retries,
        int(shard_size * MIB), force,
    )  # fmt: skip
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    show = progress or (lambda text: None)
    return score_files(
        opened, list(map(Path, places)), Path(output), options, engine, address, show
    )


def score_files(
    bundle: Bundle,
    places: Sequence[Path],
    output: Path,
    options: ScoreOptions,
    engine: str = LOCAL,
    address: str | None = None,
    show: Show = lambda text: None,
) -> ScoreResult:
    """Score input files to Parquet files in the folder `output`. show: called with progress."""
    began = time.monotonic()
    require("pyarrow")
    chosen = engine_named(engine, address)
    inputs = inputs_of(bundle, options.rules)
    output = output.absolute()
    if options.state_in is not None and options.state_in.absolute() == output:
        raise InputError(
            "E-OPTION-CONFLICT", f"--state-in and --output are both {output}; use two folders"
        )
    job = job_of(bundle, options, inputs.key_name)
    refuse_names(bundle.manifest.entry(job.entry), inputs.key_name)
    with _locked(output):
        plan = plan_of([p.absolute() for p in places], inputs, output, options.shard_bytes, show)
        job = replace(job, duplicates=plan.duplicates)
        record = _record(bundle, job, plan, inputs.key_name)
        refuse_other_run(output, record, force=options.force)
        remove_unfinished(output)
        record.write(output)
        faults, missing = _run(chosen, job, plan, options, address, show)
        return _ended(bundle, job, plan, record, faults, (missing, began))


def _run(
    engine: Engine,
    job: ScoreJob,
    plan: Plan,
    options: ScoreOptions,
    address: str | None,
    show: Show,
) -> tuple[dict[int, Fault], int]:
    """Run the shards without a part; return the failures, and the number of existing parts."""
    missing = [shard for shard in plan.shards if rows_of_part(job, shard) is None]
    progress = Progress(plan.sequences, len(plan.shards), len(plan.shards) - len(missing), show)
    faults: dict[int, Fault] = {}
    how = EngineOptions(address, options.workers, options.retries)
    if not missing:
        return faults, 0
    with closing(engine.run(job, missing, how)) as outcomes:
        for outcome in outcomes:
            if outcome.fault is not None:
                faults[outcome.number] = outcome.fault
            progress.add(outcome.sequences)
    return faults, len(missing)


def _ended(
    bundle: Bundle, job: ScoreJob, plan: Plan, record: RunRecord, faults: dict[int, Fault],
    run: tuple[int, float],
) -> ScoreResult:  # fmt: skip
    """Count the sequences in the parts, carry states over, and write the record."""
    missing, began = run
    output = Path(plan.shards[0].output)
    remove_other_parts(output, plan.shards)
    counts = counts_of(plan.shards, job, record.key)
    carried = 0
    if job.state_in is not None and job.keep_states and not faults:
        previous = PreviousStates(Path(job.state_in), bundle.manifest.entry(job.entry))
        carried = previous.carry(keys_of_parts(plan.shards, record.key), output)
    failed_shards = {plan.shards[number].label: fault for number, fault in sorted(faults.items())}
    seconds = time.monotonic() - began
    replace(
        record, complete=not faults, failed=counts.failed, failures=list(counts.failures),
        failed_shards=[{"shard": n, "reason": str(f)} for n, f in failed_shards.items()],
        carried_states=carried, seconds=round(seconds, 3),
    ).write(output)  # fmt: skip
    return ScoreResult(
        output, plan.sequences, counts.sequences, counts.failed, len(plan.shards),
        len(plan.shards) - missing, failed_shards, counts.failures, seconds,
    )  # fmt: skip


def job_of(bundle: Bundle, options: ScoreOptions, key: str) -> ScoreJob:
    """Return the job for a bundle; raise InputError if states or options do not fit it."""
    runtime: Runtime
    if options.runtime is None:
        runtime = default_runtime(bundle)
    else:
        runtime = runtime_named(options.runtime)
        refuse_if_unavailable(runtime)
    entry = STREAM if options.states or options.state_in else SEQUENCE
    refuse_coupled(bundle.manifest.entry(entry))
    state_run = None
    if options.state_in is not None:
        state_run = previous_run(options.state_in, bundle.manifest.source.digest, key).identity
    if (options.states or options.state_in) and options.rules.id is None and key == ROW:
        raise InputError(
            "E-OPTION-NEEDS",
            "--states and --state-in match sequences by key; name its column: --sequence COLUMN",
        )
    return ScoreJob(
        str(bundle.root.absolute()), bundle.digest, runtime.name, entry, options.rules,
        options.threads, options.batch_size, options.states,
        None if options.state_in is None else str(options.state_in.absolute()), state_run,
    )  # fmt: skip


def _record(bundle: Bundle, job: ScoreJob, plan: Plan, key: str) -> RunRecord:
    files = {shard.place: shard for shard in plan.shards}
    inputs = [
        {"path": place, "size": shard.size, "changed": shard.changed}
        for place, shard in files.items()
    ]
    names = ("rnn-deploy", "pyarrow", "numpy", *_packages(job.runtime))
    versions = {name: version for name in names if (version := installed_version(name))}
    return RunRecord(
        job.bundle, job.digest, bundle.manifest.source.digest, key, job.keep_states,
        job.settings | {"shards": len(plan.shards)}, inputs, plan.sequences, len(plan.shards),
        versions | {"python": platform.python_version()},
    )  # fmt: skip


def _packages(runtime: str) -> tuple[str, ...]:
    return ("onnxruntime",) if runtime.startswith("ort") else ("ai-edge-litert", "openvino")


@contextmanager
def _locked(output: Path) -> Iterator[None]:
    """Keep other runs out of the output folder."""
    output.mkdir(parents=True, exist_ok=True)
    lock = FileLock(output / LOCK)
    if (output / LOCK).exists() and not lock.is_free():
        raise InputError(
            "E-SCORE-BUSY", f"{output}: another run writes to this folder; wait until it has ended"
        )
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
        (output / LOCK).unlink(missing_ok=True)
        with suppress(OSError):  # the folder has files, or another run uses it
            output.rmdir()
