"""Kill commands at random moments and check what they leave.

    python scripts/kills.py --model M.keras --bundle M --folder build/kills --count 500

After each SIGKILL: what was at the destination is there and whole, or the new result is; no process
of the command lives after 6 seconds; what the next writer leaves is the result alone. A run that is
stopped continues where it was. Linux only, since it finds processes in /proc.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from rnn_deploy.bundle import open_bundle
from rnn_deploy.bundle.drafts import remove_leftovers
from rnn_deploy.bundle.npz import read_npz
from rnn_deploy.bundle.store import writing_file
from rnn_deploy.cli.console import data, say
from rnn_deploy.errors import BundleError

MARK = "RNN_DEPLOY_KILLED"  # in the environment of the command and of its workers
ORPHANS = 6.0  # seconds
OPERATIONS = ("export", "replace", "quantise", "tune", "run", "verify")


def words_of(
    operation: str, model: Path, bundle: Path, folder: Path
) -> tuple[list[str], list[Path]]:
    """Return the command of an operation and the places that it writes."""
    out = folder / operation
    export = ["export", str(model), "-o", str(out), "--to", "onnx", "--long", "0", "--force"]
    if operation in ("export", "replace"):
        return export, [out]
    if operation == "quantise":
        return [*export[:5], "tflite", *export[6:], "--quantize", "dynamic-int8"], [out]
    if operation == "tune":
        words = ["tune", str(bundle), "--model", str(model), "-o", str(out), "--force"]
        return [*words, "--shape", "1x4"], [out]
    if operation == "run":
        places = [out.with_suffix(".npz"), out.with_suffix(".state.npz")]
        words = ["run", str(bundle), "--inputs", str(folder / "x.npz"), "--force"]
        return [*words, "-o", str(places[0]), "--state-out", str(places[1])], places
    places = [out.with_suffix(".json"), out.with_suffix(".xml")]
    words = ["verify", str(bundle), "--runtime", "ort-cpu", "--force"]
    return [*words, "-o", str(places[0]), "--junit", str(places[1])], places


def is_whole(place: Path) -> bool:
    """Return whether a result is there, and raise an error if it is damaged."""
    if place.suffix == "":
        try:
            bundle = open_bundle(place)  # moves back what a killed writer moved away
        except BundleError as error:
            if error.code == "E-BUNDLE-NOT-FOUND":
                return False
            raise
        for record in bundle.manifest.files:
            bundle.read(record.path)
    elif not place.exists():
        return False
    elif place.suffix == ".npz":
        read_npz(place)
    elif place.suffix == ".json":
        json.loads(place.read_text(encoding="utf-8"))
    return True


def living(mark: str) -> list[int]:
    """Return the processes of a command, by the mark in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            marked = entry.name.isdigit() and f"{MARK}={mark}".encode() in (
                (entry / "environ").read_bytes().split(b"\0")
            )
            if marked and (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(int(entry.name))
        except OSError:
            continue
    return found


class Killer:
    """Runs operations and kills them. seconds: how long each takes when it is not killed."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.seconds: dict[str, float] = {}
        arguments.folder.mkdir(parents=True, exist_ok=True)
        entry = open_bundle(arguments.bundle).manifest.entry("sequence")
        x = {t.name: np.zeros((2, 8, *t.shape[2:]), t.dtype) for t in entry.inputs}
        np.savez(arguments.folder / "x.npz", **x)

    def start(self, operation: str, mark: str) -> "subprocess.Popen[bytes]":
        words, _ = words_of(
            operation, self.arguments.model, self.arguments.bundle, self.arguments.folder
        )
        environment = {**os.environ, MARK: mark}
        return subprocess.Popen(
            [sys.executable, "-m", "rnn_deploy", *words], env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def complete(self, operation: str) -> list[str]:
        """Run an operation to its end; return its faults."""
        start = time.monotonic()
        process = self.start(operation, "complete")
        messages = process.communicate()[1].decode(errors="replace").strip().splitlines()
        self.seconds[operation] = time.monotonic() - start
        left = self.leftovers(operation)
        faults = [f"{operation}: failed: {messages[-1:]}"] if process.returncode else []
        return faults + ([f"{operation}: left {left}"] if left else [])

    def leftovers(self, operation: str) -> list[str]:
        _, places = words_of(
            operation, self.arguments.model, self.arguments.bundle, self.arguments.folder
        )
        names = [entry.name for entry in self.arguments.folder.iterdir()]
        return [n for n in names for p in places if n.startswith(f".{p.name}.")]

    def kill(self, operation: str, number: int) -> list[str]:
        """Kill an operation at a random moment; return what is wrong afterwards."""
        rng = random.Random(f"{self.arguments.seed}/{operation}/{number}")
        _, places = words_of(
            operation, self.arguments.model, self.arguments.bundle, self.arguments.folder
        )
        if operation == "export":  # nothing is there
            shutil.rmtree(places[0], ignore_errors=True)
        before = [is_whole(place) for place in places]
        mark = f"{os.getpid()}-{operation}-{number}"
        process = self.start(operation, mark)
        time.sleep(rng.uniform(0, 1.05 * self.seconds[operation]))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        faults = []
        deadline = time.monotonic() + ORPHANS
        while living(mark) and time.monotonic() < deadline:
            time.sleep(0.05)
        if living(mark):
            faults.append(f"processes {living(mark)} live on")
        for place, was_there in zip(places, before, strict=True):
            try:
                if not is_whole(place) and was_there:
                    remove_leftovers(place)  # what the next writer does first
                    if not is_whole(place):
                        faults.append(f"{place.name} is lost")
            except (BundleError, ValueError, OSError) as error:
                faults.append(f"{place.name} is damaged: {error}")
        return [f"{operation} {number}: {fault}" for fault in faults]


def main() -> int:
    """Kill until `count` is reached; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=OPERATIONS, action="append")
    arguments = parser.parse_args()
    state = arguments.folder / "state.json"
    killer = Killer(arguments)
    known = json.loads(state.read_text()) if state.exists() else {}
    done, faults = Counter(known.get("done", {})), known.get("faults", [])
    operations = arguments.only or list(OPERATIONS)
    for operation in operations:
        faults += killer.complete(operation)
    while sum(done.values()) < arguments.count:
        for operation in operations:
            faults += killer.kill(operation, done[operation])
            done[operation] += 1
            if done[operation] % 10 == 0:
                faults += killer.complete(operation)
            with writing_file(state, force=True) as draft:
                draft.write_text(json.dumps({"done": done, "faults": faults}, indent=1))
    for operation in operations:
        faults += killer.complete(operation)
    for fault in faults:
        say(fault)
    data(f"{sum(done.values())} kills, {len(faults)} faults: {dict(done)}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
