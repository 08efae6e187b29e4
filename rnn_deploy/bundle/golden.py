"""Golden vectors: inputs with the reference's and the oracle's outputs and states.

One .npz (no pickles) with an entry per tensor, named CASE/PART/TENSOR, so that a reader loads
one case at a time. Parts:

    feeds       inputs, and initial states by their input names (absent: zero)
    reference   outputs, and final states by their output names, of TensorFlow in float32
    oracle      the same in float64; absent where no float64 form of the model exists

Beside the cases stands `source`, the digest of the weights they were made with.
"""

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnn_deploy.bundle.store import Bundle
from rnn_deploy.errors import BundleError
from rnn_deploy.spec import Array

SOURCE = "source"


@dataclass(frozen=True, eq=False)
class Case:
    """One golden vector.

    entries: the entry points it can be fed to. chunks: lengths along time whose sum is the
    whole, for the check that chunks give what the whole gives; empty where that does not hold.
    """

    name: str
    entries: tuple[str, ...]
    chunks: tuple[int, ...]
    feeds: Mapping[str, Array]
    reference: Mapping[str, Array]
    oracle: Mapping[str, Array]

    @property
    def truth(self) -> Mapping[str, Array]:
        """What a runtime is judged against: the oracle where there is one."""
        return self.oracle or self.reference


def write_cases(place: Path, cases: Iterable[Case], source: str | None = None) -> None:
    """Write golden vectors; the same cases give the same bytes.

    source: the digest of the weights they were made with, as in the manifest.
    """
    arrays: dict[str, Array] = {} if source is None else {SOURCE: np.array(source)}
    for case in cases:
        for part in ("feeds", "reference", "oracle"):
            for tensor, value in getattr(case, part).items():
                arrays[f"{case.name}/{part}/{tensor}"] = value
        arrays[f"{case.name}/entries"] = np.array(case.entries, dtype=np.str_)
        arrays[f"{case.name}/chunks"] = np.array(case.chunks, dtype=np.int64)
    np.savez(place, **arrays)  # type: ignore[arg-type]


def read_cases(place: Path) -> Iterator[Case]:
    """Read golden vectors one case at a time; BundleError when the file is damaged."""
    if not zipfile.is_zipfile(place):
        raise BundleError(f"{place}: golden vectors cannot be read (missing, cut, or not an .npz)")
    try:
        with np.load(place, allow_pickle=False) as file:
            names = dict.fromkeys(key.partition("/")[0] for key in file.files if "/" in key)
            for name in names:
                yield _case(name, file)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(f"{place}: golden vectors cannot be read ({error})") from error


def cases_of(bundle: Bundle) -> Iterator[Case]:
    """The golden vectors of a bundle, once the file is found to belong to its model."""
    place = bundle.checked(bundle.manifest.golden)
    made_with, source = _source(place), bundle.manifest.source
    if made_with != source.digest:
        raise BundleError(
            f"{place}: these golden vectors are not of '{source.name}': they were made with weights"
            f" {made_with[:12] or 'they do not name'}, the manifest says {source.digest[:12]};"
            " export the model again"
        )
    return read_cases(place)


def _source(place: Path) -> str:
    try:
        with np.load(place, allow_pickle=False) as file:
            return str(file[SOURCE]) if SOURCE in file.files else ""
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(f"{place}: golden vectors cannot be read ({error})") from error


def _case(name: str, file: "np.lib.npyio.NpzFile") -> Case:
    parts: dict[str, dict[str, Array]] = {"feeds": {}, "reference": {}, "oracle": {}}
    for key in file.files:
        case, _, rest = key.partition("/")
        part, _, tensor = rest.partition("/")
        if case == name and part in parts:
            parts[part][tensor] = file[key]
    return Case(
        name,
        tuple(str(entry) for entry in file[f"{name}/entries"]),
        tuple(int(length) for length in file[f"{name}/chunks"]),
        **parts,
    )
