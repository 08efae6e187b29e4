"""Read an HDF5 file completely in its own process, because the HDF5 library may crash or hang.

Imports only h5py, so that the process starts fast.
"""

import io
import zipfile
from pathlib import Path
from typing import Any

import h5py

MAGIC = b"\x89HDF\r\n\x1a\n"


def read_all(path: str, limit: int) -> tuple[str, int]:
    """Read every attribute and dataset; return a fault (empty without one) and a size.

    path: an HDF5 file, or a .keras archive that contains some. limit: bytes of memory; if the file
    needs more, and more than its own size, nothing is read, and the size is returned.
    """
    place = Path(path)
    with place.open("rb") as file:
        plain = file.read(len(MAGIC)) == MAGIC
    most = max(limit, place.stat().st_size)
    try:
        if plain:
            _read_file(place, most)
        elif zipfile.is_zipfile(place):
            _read_archive(place, most)
    except _TooLarge as error:
        return "", error.size
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        return f"{type(error).__name__}: {error}", 0
    return "", 0


class _TooLarge(Exception):
    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def _refuse_larger(size: int, most: int) -> None:
    if size > most:
        raise _TooLarge(size)


def _read_archive(place: Path, most: int) -> None:
    with zipfile.ZipFile(place) as archive:
        members = archive.infolist()
        _refuse_larger(sum(m.file_size for m in members), most)
        for member in members:
            if member.filename.endswith(".h5"):
                content = io.BytesIO(archive.read(member))
                if content.getvalue().startswith(MAGIC):
                    _read_file(content, most)


def _read_file(source: Path | io.BytesIO, most: int) -> None:
    with h5py.File(source, "r") as file:
        sizes: list[int] = []
        file.visititems(lambda name, item: sizes.append(_nbytes(item)))
        _refuse_larger(sum(sizes), most)
        _read_item(file)
        file.visititems(lambda name, item: _read_item(item))


def _nbytes(item: Any) -> int:
    return int(item.nbytes) if isinstance(item, h5py.Dataset) else 0


def _read_item(item: Any) -> None:
    dict(item.attrs)
    if isinstance(item, h5py.Dataset):
        item[()]
