"""Read and write .npz files, without pickles, whatever the arrays are called.

`np.savez` cannot store an array called "file" and adds an ending to the path; this writes the same
format without both.
"""

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from rnn_deploy.spec import Array

FAULTS = (KeyError, TypeError, OSError, EOFError, NotImplementedError, RuntimeError)


def write_npz(place: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays by name; equal arrays give equal bytes."""
    with zipfile.ZipFile(place, "w") as archive:
        for name, value in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(value), allow_pickle=False)


def read_npz(place: Path) -> dict[str, Array]:
    """Read all arrays by name; ValueError says what is wrong with the file."""
    with open_npz(place) as file:
        return {name: file[name] for name in file.files}


@contextmanager
def open_npz(place: Path) -> Iterator["np.lib.npyio.NpzFile"]:
    """Open an .npz file to read some of its arrays; every fault of the file is a ValueError."""
    if not zipfile.is_zipfile(place):
        raise ValueError("it is missing, cut off, or not an .npz file")
    try:
        with np.load(place, allow_pickle=False) as file:
            yield file
    except (*FAULTS, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(str(error)) from error
