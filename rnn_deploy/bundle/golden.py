"""Golden vectors: inputs with the outputs and states of the reference and the oracle.

One .npz file with an entry per tensor, named CASE/PART/TENSOR, so that a reader loads one case at a
time. Parts:

    feeds       inputs, and initial states by their input names (absent: zero)
    reference   outputs, and final states by their output names, of TensorFlow in float32
    oracle      the same in float64; absent where no float64 form of the model exists

Some cases are for one check only (`CASE/check`); `special` includes them. The inputs of a very long
case are drawn from a seed (`CASE/drawn/TENSOR`), and only some steps of its outputs over time are
kept (`CASE/probes`).

The entry `source` is the digest of the weights that reference and oracle were computed with.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np

from rnn_deploy.bundle.npz import NpzFile, open_npz, write_npz
from rnn_deploy.bundle.seeded_input import SeededInput
from rnn_deploy.bundle.store import Bundle
from rnn_deploy.errors import BundleError
from rnn_deploy.spec import Array, EntryPoint, TensorSpec

SOURCE = "source"
PARTS = ("feeds", "reference", "oracle")


@dataclass(frozen=True, eq=False)
class GoldenCase:
    """One golden vector.

    entries: the entry points that accept it. chunks: lengths along time whose sum is the whole, for
    the check that runs the case in chunks; empty if chunks give other results. check: if not empty,
    the case is only for this check. rows_alone: each row alone gives the same results as in its
    batch, measured in float64. drawn: inputs made from a seed. probes: the steps for which
    reference and oracle have outputs over time; empty for all. steps: 0, or: so many steps of one
    sequence lie side by side in the batch, the rows of the first step first.
    """

    name: str
    entries: tuple[str, ...]
    chunks: tuple[int, ...]
    feeds: Mapping[str, Array]
    reference: Mapping[str, Array]
    oracle: Mapping[str, Array]
    check: str = ""
    rows_alone: bool = False
    drawn: Mapping[str, SeededInput] = field(default_factory=dict)
    probes: tuple[int, ...] = ()
    steps: int = 0

    @property
    def truth(self) -> Mapping[str, Array]:
        """The values that a runtime is compared with: the oracle's, or else the reference's."""
        return self.oracle or self.reference


def write_cases(place: Path, cases: Iterable[GoldenCase], source: str | None = None) -> None:
    """Write golden vectors; the same cases give the same bytes.

    source: the digest of the weights that they were made with, as in the manifest.
    """
    arrays: dict[str, Array] = {} if source is None else {SOURCE: np.array(source)}
    for case in cases:
        for part in PARTS:
            for tensor, value in getattr(case, part).items():
                if part != "feeds" or tensor not in case.drawn:
                    arrays[f"{case.name}/{part}/{tensor}"] = value
        for tensor, drawn in case.drawn.items():
            arrays[f"{case.name}/drawn/{tensor}"] = _array_from_drawn(drawn)
        arrays |= {f"{case.name}/{key}": value for key, value in _facts(case).items()}
    write_npz(place, arrays)


def read_cases(
    place: Path, *, special: bool = False, content: bytes | None = None
) -> Iterator[GoldenCase]:
    """Read golden vectors one case at a time; raise BundleError if the file is damaged.

    special: include the cases that are for one check only. content: the file's bytes, if known.
    """
    with _reading(place, content) as file:
        for name, keys in _by_case(file.files).items():
            if special or f"{name}/check" not in keys:
                yield _case(name, keys, file)


def cases_of(bundle: Bundle, *, special: bool = False) -> Iterator[GoldenCase]:
    """Read the golden vectors of a bundle; raise BundleError if they belong to another model."""
    place, content = bundle.root / bundle.manifest.golden, bundle.read(bundle.manifest.golden)
    made_with, source = _source(place, content), bundle.manifest.source
    if made_with != source.digest:
        raise BundleError(
            "E-BUNDLE-OTHER-GOLDEN",
            f"{place}: these golden vectors do not belong to '{source.name}': they were made with"
            f" the weights {made_with[:12] or '(not named)'}, the manifest has"
            f" {source.digest[:12]}; export the model again",
        )
    entries = {entry.name: entry for entry in bundle.manifest.entries}
    cases = read_cases(place, special=special, content=content)
    return (_whole(place, case, entries) for case in cases)


def _whole(place: Path, case: GoldenCase, entries: Mapping[str, EntryPoint]) -> GoldenCase:
    """Return the case if it has every input and output of its entry points."""
    lacking = [f"entry point {name}" for name in case.entries if name not in entries]
    for entry in (entries[name] for name in case.entries if name in entries):
        answers = [tensor.name for tensor in entry.all_outputs]
        lacking += [f"feeds/{t.name}" for t in entry.inputs if t.name not in case.feeds]
        lacking += [f"reference/{name}" for name in answers if name not in case.reference]
        lacking += [f"oracle/{n}" for n in answers if case.oracle and n not in case.oracle]
    if lacking:
        raise BundleError(
            "E-BUNDLE-GOLDEN-INCOMPLETE",
            f"{place}: golden vector '{case.name}' lacks {lacking[0]}; export the model again",
        )
    misfit = _misfit(case, entries)
    if misfit:
        raise BundleError(
            "E-BUNDLE-DAMAGED",
            f"{place}: golden vector '{case.name}' does not fit its entry points: {misfit}; export"
            " the model again",
        )
    return case


def _misfit(case: GoldenCase, entries: Mapping[str, EntryPoint]) -> str:
    """Return which array cannot belong to the case, empty if each one can."""
    for entry in (entries[name] for name in case.entries):
        for tensor in entry.all_inputs:
            value = case.feeds.get(tensor.name)
            if value is not None and not (
                value.dtype == tensor.dtype and tensor.admits(value.shape)
            ):
                return f"feeds/{tensor.name} is {value.dtype}{value.shape}, expected {tensor}"
        for part, values in (("reference", case.reference), ("oracle", case.oracle)):
            for tensor in entry.all_outputs:
                value = values.get(tensor.name)
                if value is not None and not _may_be(value, tensor, case):
                    return f"{part}/{tensor.name} is {value.dtype}{value.shape}, expected {tensor}"
    if any(length < 1 for length in case.chunks):
        return f"it has the chunks {case.chunks}"
    return ""


def _may_be(value: Array, tensor: TensorSpec, case: GoldenCase) -> bool:
    """Return whether an array can be the true value of a tensor, or of its probed steps."""
    shape = tuple(value.shape)
    if case.probes and len(shape) == len(tensor.shape) > 1:
        shape = (shape[0], *(d if isinstance(d, int) else 1 for d in tensor.shape[1:2]), *shape[2:])
    return value.dtype.kind in "fiub" and tensor.admits(shape)


def _source(place: Path, content: bytes) -> str:
    with _reading(place, content) as file:
        return str(file[SOURCE]) if SOURCE in file.files else ""


@contextmanager
def _reading(place: Path, content: bytes | None) -> Iterator[NpzFile]:
    try:
        with open_npz(place if content is None else BytesIO(content)) as file:
            yield file
    except ValueError as error:
        raise BundleError(
            "E-BUNDLE-DAMAGED",
            f"{place}: golden vectors cannot be read ({error}); export the model again",
        ) from error


def _by_case(keys: Iterable[str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for key in keys:
        if "/" not in key:
            continue
        grouped.setdefault(key.partition("/")[0], []).append(key)
    return grouped


def _case(name: str, keys: Iterable[str], file: NpzFile) -> GoldenCase:
    parts: dict[str, dict[str, Array]] = {part: {} for part in PARTS}
    drawn: dict[str, SeededInput] = {}
    for key in keys:
        part, _, tensor = key.removeprefix(f"{name}/").partition("/")
        if part in parts:
            parts[part][tensor] = file[key]
        elif part == "drawn":
            drawn[tensor] = _drawn_from_array(file[key])
    parts["feeds"] |= {tensor: inputs.values() for tensor, inputs in drawn.items()}

    def fact(key: str) -> Array | None:
        return file[f"{name}/{key}"] if f"{name}/{key}" in file.files else None

    check, alone, probes, steps = map(fact, ("check", "rows_alone", "probes", "steps"))
    return GoldenCase(
        name,
        tuple(str(entry) for entry in file[f"{name}/entries"]),
        tuple(int(length) for length in file[f"{name}/chunks"]),
        **parts,
        check="" if check is None else str(check),
        rows_alone=alone is not None and bool(alone),
        drawn=drawn,
        probes=() if probes is None else tuple(int(step) for step in probes),
        steps=0 if steps is None else int(steps),
    )


def _facts(case: GoldenCase) -> dict[str, Array]:
    facts: dict[str, Array] = {
        "entries": np.array(case.entries, dtype=np.str_),
        "chunks": np.array(case.chunks, dtype=np.int64),
    }
    if case.check:
        facts["check"] = np.array(case.check, dtype=np.str_)
    if case.rows_alone:
        facts["rows_alone"] = np.array(True)
    if case.probes:
        facts["probes"] = np.array(case.probes, dtype=np.int64)
    if case.steps:
        facts["steps"] = np.array(case.steps, dtype=np.int64)
    return facts


def _array_from_drawn(drawn: SeededInput) -> Array:
    facts = (drawn.seed, drawn.dtype, drawn.below or 0, *drawn.shape)
    return np.array([str(fact) for fact in facts], dtype=np.str_)


def _drawn_from_array(array: Array) -> SeededInput:
    seed, dtype, below, *shape = (str(fact) for fact in array)
    return SeededInput(int(seed), tuple(map(int, shape)), dtype, int(below) or None)
