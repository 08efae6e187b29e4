"""Measure `score`: engines beside a plain process pool, grouping by length beside other ways.

    python scripts/bench_score.py [--folder build/bench-score] [--shards 128] [--rounds 3]

128 Parquet files of 1,000 sequences with 16 to 112 steps of 16 numbers; a GRU with 64 units. The
contenders take turns, each scores all files; a ratio is the median over the rounds.
"""

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

import rnn_deploy
from rnn_deploy.bundle import open_bundle
from rnn_deploy.cli.console import data, say
from rnn_deploy.optional import installed_version

FEATURES, UNITS, PER_SHARD = 16, 64, 1000
BATCH = 256
SESSION: dict[str, Any] = {}


def make(folder: Path, shards: int) -> tuple[Path, Path]:
    """Return the bundle and the folder of the inputs; make what is missing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    bundle, inputs = folder / "bundle", folder / f"inputs-{shards}"
    if not bundle.exists():
        import keras

        x = keras.Input((None, FEATURES), name="x")
        y = keras.layers.Dense(4, name="y")(keras.layers.GRU(UNITS, name="gru")(x))
        rnn_deploy.export(keras.Model(x, y, name="bench"), bundle, to="onnx", long=0)
    if not inputs.exists():
        inputs.mkdir()
        for shard in range(shards):
            rng = np.random.default_rng(shard)
            lengths = rng.integers(16, 113, PER_SHARD)
            steps = rng.standard_normal(int(lengths.sum()) * FEATURES).astype(np.float32)
            offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
            rows = pa.FixedSizeListArray.from_arrays(pa.array(steps), FEATURES)
            columns = {
                "id": np.arange(shard * PER_SHARD, (shard + 1) * PER_SHARD),
                "x": pa.ListArray.from_arrays(pa.array(offsets), rows),
            }
            pq.write_table(pa.table(columns), inputs / f"{shard:03}.parquet")
    return bundle, inputs


def open_session(model: str) -> None:
    """Load the ONNX file in a process of the plain pool."""
    import onnxruntime
    import pyarrow

    pyarrow.set_cpu_count(1)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    SESSION["it"] = onnxruntime.InferenceSession(model, settings)


def read(place: str) -> tuple[Any, Any, Any]:
    """Return keys, values and offsets of a file."""
    import pyarrow.parquet as pq

    table = pq.read_table(place, use_threads=False)
    column = table["x"].combine_chunks()
    values = column.flatten().flatten().to_numpy().reshape(-1, FEATURES)
    return table["id"], values, column.offsets.to_numpy()


def grouped(values: Any, offsets: Any) -> Any:
    """Run sequences of equal length together, as short as it can be written."""
    session = SESSION["it"]
    lengths = np.diff(offsets)
    out = np.empty((len(lengths), 4), np.float32)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            out[some] = session.run(
                ["y"], {"x": values[offsets[some][:, None] + np.arange(length)]}
            )[0]
    return out


def plain_shard(task: tuple[str, str]) -> None:
    """Score one file without any check."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    place, to = task
    keys, values, offsets = read(place)
    out = pa.FixedSizeListArray.from_arrays(pa.array(grouped(values, offsets).ravel()), 4)
    pq.write_table(pa.table({"id": keys, "y": out}), to, compression="zstd")


def plain_pool(bundle: Path, inputs: Path, output: Path, workers: int) -> None:
    """Score all files on a plain pool of processes."""
    output.mkdir()
    tasks = [(str(p), str(output / p.name)) for p in sorted(inputs.iterdir())]
    model = str(bundle / "sequence.onnx")
    with get_context("spawn").Pool(workers, open_session, (model,)) as pool:
        for _ in pool.imap_unordered(plain_shard, tasks):
            pass


def ways(bundle: Path, inputs: Path) -> dict[str, float]:
    """Return sequences a second of each way to run sequences of different lengths."""
    open_session(str(bundle / "sequence.onnx"))
    session = SESSION["it"]
    _, values, offsets = read(str(sorted(inputs.iterdir())[0]))
    lengths = np.diff(offsets)

    def one_by_one() -> None:
        for a, b in pairwise(offsets):
            session.run(["y"], {"x": values[a:b][None]})

    def to_the_longest() -> None:
        full = np.zeros((len(lengths), lengths.max(), FEATURES), np.float32)
        for row, (a, b) in enumerate(pairwise(offsets)):
            full[row, : b - a] = values[a:b]
        for start in range(0, len(full), BATCH):
            session.run(["y"], {"x": full[start : start + BATCH]})

    from rnn_deploy.inference.tables import TableRules
    from rnn_deploy.scoring.job import ScoreOptions
    from rnn_deploy.scoring.layout import inputs_of
    from rnn_deploy.scoring.scorer import Scorer
    from rnn_deploy.scoring.scoring import job_of
    from rnn_deploy.scoring.sources.registry import open_source

    opened = open_bundle(bundle)
    options = ScoreOptions(TableRules("id"), "ort-cpu")
    scorer = Scorer(opened, job_of(opened, options, "id"))
    source = open_source(sorted(inputs.iterdir())[0], inputs_of(opened, options.rules))
    (sequences,) = source.read(source.scan(2**30).spans[0])

    calls: dict[str, Callable[[], object]] = {
        "score": lambda: scorer.score(sequences),
        "one by one": one_by_one,
        "padded to the longest": to_the_longest,
    }
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(5):
        for name, call in calls.items():
            start = time.process_time()  # one thread each, so other processes do not count
            call()
            seconds[name].append(time.process_time() - start)
    return {name: PER_SHARD / statistics.median(times) for name, times in seconds.items()}


def processor_seconds() -> float:
    """Return the processor time of this process and of all that it waited for."""
    parts = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in parts)


def peak_memory(bundle: Path, inputs: Path, folder: Path, shards: int) -> str:
    """Return the peak memory of the driver and of its largest worker, for the first shards."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    places = [str(path) for path in sorted(inputs.iterdir())[:shards]]
    code = (
        "import resource, rnn_deploy\n"
        f"rnn_deploy.score({str(bundle)!r}, {places!r}, {str(folder / 'out')!r}, sequence='id')\n"
        "for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):\n"
        "    print(resource.getrusage(who).ru_maxrss // 1024)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    driver, worker = ended.stdout.split()
    return f"{driver} MB in the driver, {worker} MB in the largest worker"


def main() -> int:
    """Measure and print a line for each figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("build/bench-score"))
    parser.add_argument("--shards", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engine", action="append", choices=("local", "dask", "ray"))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    bundle, inputs = make(given.folder, given.shards)
    names = ("onnxruntime", "pyarrow", "dask", "ray")
    data(", ".join(f"{name} {installed_version(name)}" for name in names))
    rates = ways(bundle, inputs)
    for name, rate in rates.items():
        data(f"{name}: {rate:,.0f} sequences/s, score is {rates['score'] / rate:.2f} times as fast")

    def scored(engine: str) -> Callable[[Path], object]:
        return lambda output: rnn_deploy.score(
            bundle, inputs, output, sequence="id", engine=engine, workers=given.workers
        )

    contenders: dict[str, Callable[[Path], object]] = {
        "plain pool": lambda output: plain_pool(bundle, inputs, output, given.workers)
    }
    contenders |= {name: scored(name) for name in given.engine or ("local", "dask", "ray")}
    seconds: dict[str, list[float]] = defaultdict(list)
    used: dict[str, list[float]] = defaultdict(list)
    for number in range(given.rounds):
        for name, call in contenders.items():
            output = given.folder / "out"
            shutil.rmtree(output, ignore_errors=True)
            start, before = time.perf_counter(), processor_seconds()
            call(output)
            seconds[name].append(time.perf_counter() - start)
            used[name].append(processor_seconds() - before)
            say(f"round {number + 1}, {name}: {seconds[name][-1]:.1f} s")
    count = given.shards * PER_SHARD
    for name, times in seconds.items():
        pairs = zip(seconds["plain pool"], times, strict=True)
        ratio = statistics.median(plain / own for plain, own in pairs)
        rate = count / statistics.median(times)
        data(
            f"{name}: {rate:,.0f} sequences/s, {ratio:.2f} of the plain pool;"
            f" {statistics.median(used[name]):.0f} s of processor time"
        )
    for shards in sorted({max(1, given.shards // 8), given.shards}):
        data(f"{shards} shards: {peak_memory(bundle, inputs, given.folder, shards)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
