"""Kill workers, nodes and drivers of `score` at random moments; the output must not change.

    python scripts/kills_score.py --folder build/kills-score --count 20 [--only worker|node|driver]

Kinds: one of two local worker processes; one of two Dask workers, which stand for two nodes (the
worker with the process that supervises it); the driver, which is then started again. Each run ends
with parts that are equal, byte by byte, to those of an undisturbed run. Linux only.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import rnn_deploy
from rnn_deploy.cli.console import data, say

KINDS = ("worker", "node", "driver")
SHARDS, PER_SHARD, UNITS = 24, 400, 48
PYTHON = [sys.executable, "-m"]


def make(folder: Path) -> tuple[Path, Path]:
    """Return a bundle and a folder of inputs; make what is missing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    bundle, inputs = folder / "bundle", folder / "inputs"
    if not bundle.exists():
        import keras

        x = keras.Input((None, 8), name="x")
        y = keras.layers.Dense(2, name="y")(keras.layers.GRU(UNITS, name="gru")(x))
        rnn_deploy.export(keras.Model(x, y, name="kills"), bundle, to="onnx", long=0)
    if not inputs.exists():
        inputs.mkdir()
        for shard in range(SHARDS):
            rng = np.random.default_rng(shard)
            rows = [rng.standard_normal((n, 8)).tolist() for n in rng.integers(8, 64, PER_SHARD)]
            ids = [f"{shard}-{row}" for row in range(PER_SHARD)]
            kind = pa.list_(pa.list_(pa.float32(), 8))
            table = pa.table({"id": ids, "x": pa.array(rows, kind)})
            pq.write_table(table, inputs / f"{shard:03}.parquet")
    return bundle, inputs


def command(bundle: Path, inputs: Path, output: Path, *words: str) -> list[str]:
    """Return the command of a run."""
    base = ["rnn_deploy", "score", str(bundle), "--input", str(inputs), "--sequence", "id"]
    return [*PYTHON, *base, "--states", "--output", str(output), "--workers", "2", *words]


def digest(output: Path) -> str:
    """Return a digest of all parts."""
    found = hashlib.sha256()
    for path in sorted(output.glob("part-*")):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


def children(process: int) -> list[int]:
    """Return the processes below a process."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == process and entry.name.isdigit():
            found += [int(entry.name), *children(int(entry.name))]
    return found


def kill_all(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and those below it, as the loss of a machine does."""
    for pid in [process.pid, *children(process.pid)]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


@contextmanager
def two_nodes(port: int) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Start a Dask scheduler and two workers on this machine; yield the workers."""
    address = f"tcp://127.0.0.1:{port}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = [*PYTHON, "dask", "scheduler", "--host", "127.0.0.1", "--port", str(port)]
    worker = [*PYTHON, "dask", "worker", address, "--nthreads", "1", "--no-dashboard"]
    started = [subprocess.Popen([*scheduler, "--no-dashboard"], **quiet)]  # type: ignore[call-overload]
    try:
        for _ in range(2):
            started.append(subprocess.Popen(worker, **quiet))  # type: ignore[call-overload]
        yield started[1:]
    finally:
        for process in started:
            if process.poll() is None:
                kill_all(process)


def disturbed(kind: str, words: list[str], delay: float, victims: list[int], port: int) -> int:
    """Run a command, kill after `delay` seconds, and return the exit code of the complete run."""
    if kind == "node":
        with two_nodes(port) as nodes:
            cluster = ["--engine", "dask", "--address", f"tcp://127.0.0.1:{port}"]
            process = subprocess.Popen([*words, *cluster], stderr=subprocess.DEVNULL)
            time.sleep(delay)
            kill_all(nodes[victims[0] % 2])
            return process.wait(timeout=300)
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    time.sleep(delay)
    if kind == "driver":
        process.kill()
        process.wait()
        return subprocess.run(words, stderr=subprocess.DEVNULL, check=False).returncode
    below = children(process.pid)
    if below:
        os.kill(below[victims[0] % len(below)], signal.SIGKILL)
    return process.wait(timeout=300)


def main() -> int:
    """Kill until `count` is reached; 1 if an output changed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("build/kills-score"))
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=18786)
    parser.add_argument("--only", choices=KINDS, action="append")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    bundle, inputs = make(given.folder)
    shutil.rmtree(given.folder / "undisturbed", ignore_errors=True)
    start = time.monotonic()
    subprocess.run(command(bundle, inputs, given.folder / "undisturbed"), check=True)
    usual = time.monotonic() - start
    wanted = digest(given.folder / "undisturbed")
    kinds = given.only or KINDS
    rng = random.Random(given.seed)
    done: Counter[str] = Counter()
    faults = []
    for number in range(given.count):
        kind = kinds[number % len(kinds)]
        output = given.folder / "out"
        shutil.rmtree(output, ignore_errors=True)
        delay = rng.uniform(0.3, 0.95) * usual
        words = command(bundle, inputs, output)
        code = disturbed(kind, words, delay, [rng.randrange(8)], given.port + number)
        same = digest(output) == wanted
        there = len(list(output.glob("part-*")))
        say(f"{number + 1}: {kind} killed after {delay:.1f} s: exit {code}, {there} parts,"
            f" {'same' if same else 'DIFFERENT'}")  # fmt: skip
        done[kind] += 1
        if code or not same:
            faults.append(f"{kind} {number}: exit {code}, same output: {same}")
    for fault in faults:
        say(fault)
    data(f"{sum(done.values())} kills, {len(faults)} faults: {dict(done)}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
