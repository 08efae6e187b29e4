"""Cut the input files into shards, and find keys that occur twice. Reads only columns of keys."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.scoring.job import Shard
from rnn_deploy.scoring.layout import Inputs
from rnn_deploy.scoring.sources.base import Scan, Source, hashes_of, joined
from rnn_deploy.scoring.sources.registry import input_files, open_source

MOST_DUPLICATES = 10_000


@dataclass(frozen=True)
class Plan:
    """The shards of a run, their number of sequences, and the keys that occur twice."""

    shards: tuple[Shard, ...]
    sequences: int
    duplicates: frozenset[Any]


def plan_of(
    places: list[Path], inputs: Inputs, output: Path, target: int, show: Callable[[str], None]
) -> Plan:
    """Return the plan for input files and folders; raise InputError for files that do not fit."""
    files = input_files(places)
    sources: list[Source] = []
    scans: list[Scan] = []
    shards: list[Shard] = []
    row = 0
    for number, file in enumerate(files):
        show(f"reading the keys of file {number + 1} of {len(files)}")
        before = file.stat()
        sources.append(open_source(file, inputs))
        scans.append(sources[-1].scan(target))
        for span in scans[-1].spans:
            shards.append(
                Shard(
                    len(shards), str(file), before.st_size, before.st_mtime_ns,
                    replace(span, first_row=span.first_row + row), str(output),
                )
            )  # fmt: skip
        row += scans[-1].sequences
    if not row:
        raise InputError("E-DATA-EMPTY", f"{places[0]}: holds no sequence; expected at least one")
    return Plan(tuple(shards), row, _duplicates(sources, scans))


def _duplicates(sources: list[Source], scans: list[Scan]) -> frozenset[Any]:
    """Return the keys that occur more than once in all files."""
    keyed = [scan.hashes is not None for scan in scans]
    if any(keyed) != all(keyed):
        lacking = sources[keyed.index(False)].place
        raise InputError("E-SCORE-KEY", f"{lacking}: has no keys, and other input files have keys")
    hashes = np.sort(joined([scan.hashes for scan in scans if scan.hashes is not None]))
    twice = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    if not len(twice):
        return frozenset()
    if len(twice) > MOST_DUPLICATES:
        raise InputError(
            "E-SCORE-DUPLICATES",
            f"{len(twice)} keys occur more than once; if each row is one step, sort the table by"
            " the key, so that the rows of a sequence are together; else name another key with"
            " --sequence",
        )
    kinds = {str(keys.type) for source in sources for keys in _first(source)}
    if len(kinds) > 1:
        raise InputError("E-SCORE-KEY", f"the keys of the files have the types {sorted(kinds)}")
    seen: dict[Any, int] = {}
    for source in sources:
        for keys in source.key_arrays():
            suspect = np.flatnonzero(np.isin(hashes_of(keys), twice))
            for key in keys.take(suspect).to_pylist():
                seen[key] = seen.get(key, 0) + 1
    return frozenset(key for key, count in seen.items() if count > 1 and key not in (None, ""))


def _first(source: Source) -> Iterator[Any]:
    for keys in source.key_arrays():
        yield keys
        return
