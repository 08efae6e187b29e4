"""Run millions of steps in one stream; check that memory stays constant and states do not drift.

    python scripts/long_stream.py --model M.keras --bundle M --runtime litert --folder build/long

The input repeats every 64 steps, so the states of a stable model do so too. The oracle computes
them once, in float64, in a process of its own. After every 64 steps the states, and in every tenth
period each output, must be as the oracle's: the states within the running bound of a float32 layer,
the outputs within 1e-5. A run that is stopped continues from its last record, with the state of the
stream.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import rnn_deploy
from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.npz import read_npz, write_npz
from rnn_deploy.bundle.store import writing_file
from rnn_deploy.cli.console import data, say
from rnn_deploy.spec import STREAM, Array, EntryPoint, chunks

PERIOD, SETTLING = 64, 16  # steps; periods until the states must repeat
SETTLED = 1e-9  # largest difference of states from period to period
RECORD = 200_000  # steps between records
GROWTH = 2 * 2**20  # bytes by which memory may grow after the first record
DAY = 24 * 60 * 60 * 100  # steps: 24 hours at 100 Hz


def write_truth(model: str, root: str, place: str) -> None:
    """Write the oracle's outputs and states of a settled period, and the bounds of the states."""
    from rnn_deploy.cli.reference_model import open_reference
    from rnn_deploy.references.proving import bounds_of
    from rnn_deploy.spec.opening import Opening

    bundle = open_bundle(root)
    original = open_reference(bundle, Path(model), 1, Opening(), say).original
    entry = bundle.manifest.entry(STREAM)
    feeds = drawn(entry)
    whole = tiled(entry, feeds, SETTLING)
    now, before = original.oracle(whole), original.oracle(tiled(entry, feeds, SETTLING - 1))
    for state in entry.states:
        change = float(np.abs(now[state.next_name] - before[state.next_name]).max())
        if change > SETTLED:
            raise SystemExit(
                f"'{state.next_name}' does not repeat ({change:g}); use a stable model"
            )
    bounds: dict[str, Array] = {}
    for run in original.recurrent_calls(whole):
        for key, bound in bounds_of(run, run).items():
            roles = [s.role for s in entry.states if s.layer == key[0]]
            for state in entry.states:
                if state.key == key:
                    bounds[state.next_name] = bound.states[roles.index(state.role)].max(axis=0)
    axes = chunks.time_axes(entry)
    found = {f"bound/{name}": value for name, value in bounds.items()}
    found |= {f"state/{s.next_name}": now[s.next_name] for s in entry.states}
    for name in (t.name for t in entry.outputs if t.name in axes):
        found[f"output/{name}"] = np.take(now[name], range(-PERIOD, 0), axis=axes[name])
    write_npz(Path(place), found)


def tiled(entry: EntryPoint, feeds: dict[str, Array], times: int) -> dict[str, Array]:
    (symbol,) = entry.time_symbols
    axes = {t.name: t.shape.index(symbol) for t in entry.inputs if symbol in t.shape}
    return {n: np.concatenate([v] * times, axes[n]) if n in axes else v for n, v in feeds.items()}


def part(place: Path, kind: str) -> dict[str, Array]:
    """Return the arrays of one kind in the file that `write_truth` wrote."""
    arrays = read_npz(place)
    return {n.partition("/")[2]: v for n, v in arrays.items() if n.startswith(f"{kind}/")}


def resident() -> int:
    """Return the memory of this process in bytes; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return 0
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def main() -> int:
    """Run the steps that the record does not have yet; 1 if memory or states went off."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("--model", "--bundle", "--folder"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--runtime", default="ort-cpu")
    parser.add_argument("--steps", type=int, default=DAY)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    place = arguments.folder / f"{arguments.runtime}.json"
    saved = arguments.folder / f"{arguments.runtime}.npz"
    bundle = open_bundle(arguments.bundle)
    entry = bundle.manifest.entry(STREAM)
    feeds = drawn(entry)
    truth = arguments.folder / "truth.npz"
    if not truth.exists():
        words = (str(arguments.model), str(arguments.bundle), str(truth))
        call = f"import sys; sys.path[:0] = {sys.path[:1]!r}; import long_stream as s"
        subprocess.run([sys.executable, "-c", f"{call}; s.write_truth(*{words!r})"], check=True)
    outputs, states, bounds = (part(truth, kind) for kind in ("output", "state", "bound"))
    stream = rnn_deploy.load(bundle, arguments.runtime, threads=1).stream()
    record = {"steps": 0, "seconds": 0.0, "drift": 0.0, "of_bound": 0.0, "output_error": 0.0}
    record |= {"faults": []}
    if place.exists():
        record = json.loads(place.read_text(encoding="utf-8"))
        stream.restore(saved)
    pieces = list(chunks.cut(entry, feeds, [1] * PERIOD))
    first, start, begun = 0, time.monotonic(), record["seconds"]
    while record["steps"] < arguments.steps and not record["faults"]:
        compare = record["steps"] // PERIOD % 10 == 0
        results = [stream.advance(piece) for piece in pieces]
        record["steps"] += PERIOD
        if record["steps"] > SETTLING * PERIOD:
            judge(record, stream.finals(), states, bounds)
            if compare:
                judge_outputs(record, chunks.joined(entry, results), outputs)
        if record["steps"] % RECORD < PERIOD or record["steps"] >= arguments.steps:
            record["seconds"], record["bytes"] = begun + time.monotonic() - start, resident()
            first = first or record["bytes"]
            record["growth"] = record["bytes"] - first
            if record["growth"] > GROWTH:
                record["faults"].append(f"memory grew by {record['growth']:,} bytes")
            stream.save(saved, force=True)
            with writing_file(place, force=True) as draft:
                draft.write_text(json.dumps(record, indent=1))
    data(json.dumps({"runtime": arguments.runtime, **record}))
    return 1 if record["faults"] else 0


def drawn(entry: EntryPoint) -> dict[str, Array]:
    """Return random inputs of one period."""
    rng = np.random.default_rng(7)
    found = {}
    for tensor in entry.inputs:
        dims = [dim if isinstance(dim, int) else 1 for dim in tensor.shape]
        for symbol in entry.time_symbols:
            if symbol in tensor.shape:
                dims[tensor.shape.index(symbol)] = PERIOD
        if tensor.dtype.startswith("int"):
            found[tensor.name] = rng.integers(0, tensor.below or 2, dims).astype(tensor.dtype)
        else:
            found[tensor.name] = rng.standard_normal(dims).astype(tensor.dtype)
    return found


def judge(record: Any, found: dict[str, Array], true: dict[str, Array], bounds: Any) -> None:
    """Compare the states after a period."""
    for name, value in found.items():
        error = np.abs(value - true[name])[0]
        record["drift"] = max(record["drift"], float(error.max()))
        share = float((error / bounds[name]).max())
        record["of_bound"] = max(record["of_bound"], share)
        if not share <= 1:  # NaN too
            record["faults"].append(f"step {record['steps']}: '{name}' is off by {error.max():g}")


def judge_outputs(record: Any, found: dict[str, Array], true: dict[str, Array]) -> None:
    """Compare every output of a period with a tolerance of 1e-5 of its largest magnitude."""
    for name, value in true.items():
        error = float(np.abs(found[name] - value).max())
        record["output_error"] = max(record["output_error"], error)
        if not error <= 1e-5 * max(1.0, float(np.abs(value).max())):
            record["faults"].append(f"step {record['steps']}: '{name}' is off by {error:g}")


if __name__ == "__main__":
    sys.exit(main())
