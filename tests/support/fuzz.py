"""Damaged copies of a file: a seeded stream of mutations, the same on every machine.

Used by tests/test_malformed.py with few mutations, and by scripts/fuzz.py with many.
"""

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rnn_deploy.bundle import Bundle, npz
from rnn_deploy.bundle.manifest import FileRecord, manifest_from_json
from rnn_deploy.bundle.state_files import (
    StateOwner,
    owner_of,
    read_states,
    refuse_other_names,
    write_states,
)
from rnn_deploy.bundle.store import MANIFEST
from rnn_deploy.cli.arrays import read_inputs
from rnn_deploy.inference.fitting import fitted
from rnn_deploy.inference.rows import run_rows
from rnn_deploy.inference.tables import TableRules
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.external_data import refuse_external_outside
from rnn_deploy.runtimes.feeds import checker, zero_states
from rnn_deploy.runtimes.onnxruntime import CPU, OrtRuntime
from rnn_deploy.spec import Array, EntryPoint
from rnn_deploy.verifying import verify
from rnn_deploy.verifying.judge.tolerance import UserTolerance
from rnn_deploy.verifying.report.observation import record_nothing
from rnn_deploy.verifying.report.results import ResultsWriter, judge_again, read_results
from rnn_deploy.verifying.request import VerificationOptions, request_for

WORDS = [
    *(b"\x00" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"NaN", b"1e999"),
    *(b"-1", b"99999999999", b"{}", b"[]", b"null", b'""', b"'", b'"', b"(", b"\\u0000", b"\n"),
    *(b"../", b"/etc/passwd", b"\xc3", b"\xed\xa0\x80", b"True", b"PK\x05\x06", b"\x93NUMPY"),
]


def mutations(content: bytes, seed: int, count: int, first: int = 0) -> Iterator[bytes]:
    """Yield `count` damaged copies of `content`, starting with the one of number `first`."""
    for number in range(first, first + count):
        rng = random.Random(f"{seed}/{number}")
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
            rng.choice(CHANGES)(damaged, rng)
        yield bytes(damaged)


def _place(data: bytearray, rng: random.Random) -> int:
    """Return a place, often near the start or the end, where the headers are."""
    size = max(1, len(data))
    near = rng.randrange(min(size, 256))
    return rng.choice((rng.randrange(size), near, size - 1 - near))


def _flip(data: bytearray, rng: random.Random) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _overwrite(data: bytearray, rng: random.Random) -> None:
    at, word = _place(data, rng), rng.choice(WORDS)
    data[at : at + len(word)] = word


def _insert(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    data[at:at] = rng.choice(WORDS)


def _remove(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    del data[at : at + rng.choice((1, 2, 8, 64, 1024))]


def _repeat(data: bytearray, rng: random.Random) -> None:
    at, size = _place(data, rng), rng.choice((1, 8, 64))
    data[at:at] = data[at : at + size]


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[_place(data, rng) :]


CHANGES = (_flip, _flip, _overwrite, _overwrite, _insert, _remove, _repeat, _cut)


class Reader(NamedTuple):
    """A kind of file that users give us. read: reads a file completely, as the commands do."""

    name: str
    content: bytes
    read: Callable[[Path], object]


def readers(bundle: Bundle, folder: Path) -> list[Reader]:
    """Return every reader of files in this package that needs no TensorFlow.

    bundle: of a model with one input. folder: where the readers may write.
    """
    entry, stream = bundle.manifest.entry("sequence"), bundle.manifest.entry("stream")
    rng = np.random.default_rng(0)
    width = entry.inputs[0].shape[-1]
    x = rng.standard_normal((2, 5, width)).astype(np.float32)
    owner = owner_of(bundle, "stream")
    states = zero_states(stream, 2)
    npz.write_npz(folder / "x.npz", {entry.inputs[0].name: x})
    np.savez_compressed(folder / "packed.npz", **{entry.inputs[0].name: np.repeat(x, 9, 1)})
    np.save(folder / "x.npy", x)
    np.savetxt(folder / "x.csv", x[0], delimiter=",", header="a,b,c,d"[: 2 * width - 1])
    (folder / "x.jsonl").write_text("\n".join(json.dumps(row) for row in x.tolist()))
    write_states(folder / "s.npz", states, owner)
    _save_results(bundle, folder / "r.npz")

    def inputs(place: Path) -> object:
        read = read_inputs(place, entry, TableRules())
        return run_rows(entry, fitted(entry, read.feeds), lambda feeds: _checked(entry, feeds))

    def stored(place: Path) -> object:
        return judge_again(read_results(place, bundle), UserTolerance(), record_nothing)

    def part(path: str, read: Callable[[Bundle], object]) -> Callable[[Path], object]:
        return lambda place: read(_with_file(bundle, folder, path, place.read_bytes()))

    golden, proof = bundle.manifest.golden, "proof.npz"
    made = {
        "inputs.npz": ("x.npz", inputs),
        "packed.npz": ("packed.npz", inputs),
        "inputs.npy": ("x.npy", inputs),
        "inputs.csv": ("x.csv", inputs),
        "inputs.jsonl": ("x.jsonl", inputs),
        "states.npz": ("s.npz", lambda place: _states(place, stream, owner)),
        "results.npz": ("r.npz", stored),
    }
    found = [Reader(n, (folder / file).read_bytes(), read) for n, (file, read) in made.items()]
    return [
        *found,
        Reader("manifest.json", (bundle.root / MANIFEST).read_bytes(), _manifest),
        Reader("golden.npz", bundle.read(golden), part(golden, _judge_golden)),
        Reader("proof.npz", bundle.read(proof), part(proof, _judge_golden)),
        Reader(
            "external.onnx",
            bundle.read("sequence.onnx") + b"\x3a\x12\x2a\x10\x6a\x0e\x0a\x08location\x12\x02w.",
            refuse_external_outside,
        ),
    ]


def _checked(entry: EntryPoint, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Check inputs as a runner does; return something of the right number of rows."""
    arrays = checker(entry)(feeds)
    return {tensor.name: arrays[0] for tensor in entry.outputs}


def _manifest(place: Path) -> object:
    return manifest_from_json(place.read_bytes(), str(place))


def _states(place: Path, stream: EntryPoint, owner: StateOwner) -> object:
    states = read_states(place, owner)
    refuse_other_names(states, [spec.tensor.name for spec in stream.states], str(place))
    x = {t.name: np.zeros((2, 1, *t.shape[2:]), t.dtype) for t in stream.inputs}
    return checker(stream)({**x, **states})


def _judge_golden(bundle: Bundle) -> object:
    request = request_for(bundle, VerificationOptions())
    for case in request.read():
        for entry in (bundle.manifest.entry(name) for name in case.entries):
            names = [tensor.name for tensor in entry.all_inputs]
            checker(entry)({name: v for name, v in case.feeds.items() if name in names})
    return request


def _with_file(bundle: Bundle, folder: Path, path: str, content: bytes) -> Bundle:
    """Return a copy of a bundle with another file, whose hash is right."""
    root = folder / "copy"
    if not root.exists():
        shutil.copytree(bundle.root, root)
    for record in bundle.manifest.files:
        (root / record.path).write_bytes(
            content if record.path == path else bundle.read(record.path)
        )
    new = FileRecord(path, len(content), hashlib.sha256(content).hexdigest())
    files = tuple(new if record.path == path else record for record in bundle.manifest.files)
    return Bundle(root, replace(bundle.manifest, files=files), bundle.digest)


def _save_results(bundle: Bundle, place: Path) -> None:
    writer = ResultsWriter(place)
    runtime = OrtRuntime("ort-cpu", CPU)
    report = verify(
        bundle, runtimes=[runtime], checks=("sequence",), record=writer.record,
        options=RunOptions(), time_limit=None,
    )  # fmt: skip
    writer.finish(report)
