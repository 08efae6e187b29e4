"""Read and write .npz files, without pickles, whatever the arrays are called.

`np.savez` cannot store an array called "file", and it adds an ending to the path; this module
writes the same format without these limits. `np.load` allocates what an archive asks for; this
module checks it first.
"""

import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from rnn_deploy.bundle.npy import read_npy
from rnn_deploy.bundle.sizes import refuse_larger
from rnn_deploy.spec import Array

FAULTS = (
    *(TypeError, KeyError, OSError, EOFError, NotImplementedError, RuntimeError, OverflowError),
    *(IndexError, zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError),
)
ENDING = ".npy"


class NpzFile:
    """An open archive. files: the names of its arrays."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._members = {info.filename.removesuffix(ENDING): info for info in archive.infolist()}
        self.files = list(self._members)

    def __getitem__(self, name: str) -> Array:
        """Read an array. Raises ValueError if the file has none of this name, or it is damaged."""
        if name not in self._members:
            raise ValueError(f"it has no array '{name}'")
        info = self._members[name]
        try:
            with self._archive.open(info) as member:
                return read_npy(member, info.file_size)
        except ValueError as error:
            raise ValueError(f"'{name}' is no array, or it is damaged: {error}") from error


def write_npz(place: Path | IO[bytes], arrays: Mapping[str, Array]) -> None:
    """Write arrays by name; equal arrays give equal bytes."""
    with zipfile.ZipFile(place, "w") as archive:
        for name, value in arrays.items():
            with archive.open(f"{name}{ENDING}", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(value), allow_pickle=False)


def read_npz(source: Path | IO[bytes]) -> dict[str, Array]:
    """Read all arrays by name; raise ValueError that says what is wrong with the file."""
    with open_npz(source) as file:
        return {name: file[name] for name in file.files}


@contextmanager
def open_npz(source: Path | IO[bytes]) -> Iterator[NpzFile]:
    """Open an .npz file to read some of its arrays; every fault of the file is a ValueError.

    Raises InputError if its arrays need more memory than `sizes.size_limit` allows.
    """
    if not zipfile.is_zipfile(source):
        raise ValueError("it is missing, cut off, or not an .npz file")
    try:
        with zipfile.ZipFile(source) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
            refuse_larger(unpacked, _name_of(source), _size_of(source))
            yield NpzFile(archive)
    except FAULTS as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _size_of(source: Path | IO[bytes]) -> int:
    return source.stat().st_size if isinstance(source, Path) else source.seek(0, os.SEEK_END)


def _name_of(source: Path | IO[bytes]) -> str:
    return str(source) if isinstance(source, Path) else "the archive"
