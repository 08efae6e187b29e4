"""NumPy files: .npy with sequences of one length, .npz with values and offsets.

An .npz has an array for each input, and for sequences of different lengths `NAME/offsets`, or
`offsets` for all: sequence i is NAME[offsets[i]:offsets[i + 1]]. `--sequence` names the array with
the keys. A span is a range of sequences; only its part of the file is read.
"""

import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from rnn_deploy.bundle.npy import read_header
from rnn_deploy.errors import InputError
from rnn_deploy.inference.preprocessing import TEXT
from rnn_deploy.optional import require
from rnn_deploy.scoring.layout import Inputs, refuse_key_type
from rnn_deploy.scoring.sequences import Ragged, Sequences, uniform
from rnn_deploy.scoring.sources.base import CHUNK, MOST_ROWS, Scan, Span, even_spans, hashes_of
from rnn_deploy.scoring.table_rows import keys_of, missing_keys
from rnn_deploy.spec import Array, TensorSpec

OFFSETS = "offsets"
LOCAL_HEADER = 30  # bytes of a zip member's header before its name


@dataclass(frozen=True)
class StoredArray:
    """An array in a file, from which rows can be read. member: its name in a compressed .npz."""

    place: Path
    shape: tuple[int, ...]
    dtype: Any
    at: int
    member: str | None = None

    def rows(self, start: int, stop: int) -> Array:
        """Read some rows; raise ValueError if the file is too short."""
        row = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        if self.member is None:
            with self.place.open("rb") as file:
                content = self._content(file, start * row, (stop - start) * row)
        else:
            with zipfile.ZipFile(self.place) as archive, archive.open(self.member) as packed:
                content = self._content(packed, start * row, (stop - start) * row)
        return np.frombuffer(content, self.dtype).reshape(stop - start, *self.shape[1:])

    def _content(self, file: IO[bytes], first: int, size: int) -> bytes:
        file.seek(self.at + first)
        content = file.read(size)
        if len(content) < size:
            raise ValueError(f"it was cut: {size - len(content)} bytes are missing")
        return content


class NumpySource:
    """One .npy or .npz file."""

    def __init__(self, place: Path, inputs: Inputs) -> None:
        self.place, self._inputs = place, inputs
        if inputs.rules.time is not None or inputs.rules.features:
            raise InputError(
                "E-OPTION-CONFLICT",
                f"{place}: --order and --features apply to tables with a row for each step; remove"
                " them",
            )
        try:
            self._arrays = _npz(place) if zipfile.is_zipfile(place) else {"": _npy(place)}
            self._offsets = self._read_offsets()
            self._keys = self._read_keys()
        except (ValueError, OSError, zipfile.BadZipFile, struct.error) as error:
            raise InputError("E-DATA-DAMAGED", f"{place}: cannot be read: {error}") from error
        self._count = self._check()

    def scan(self, target: int) -> Scan:
        """Return spans of about `target` bytes."""
        size = sum(a.shape[0] * self._row_bytes(a) for a in self._used())
        rows = int(target * self._count / max(1, size))
        hashes = None if self._keys is None else hashes_of(self._keys)
        return Scan(even_spans(self._count, rows), self._count, hashes)

    def key_arrays(self) -> Iterator[Any]:
        """Yield the keys, if the file has any."""
        if self._keys is not None:
            yield self._keys

    def read(self, span: Span) -> Iterator[Sequences]:
        """Yield the sequences of a span."""
        arrow = require("pyarrow")
        size = sum(a.shape[0] * self._row_bytes(a) for a in self._used()) / max(1, self._count)
        step = int(max(1, min(MOST_ROWS, CHUNK / max(1, size))))
        for start in range(span.start, span.stop, step):
            stop = min(start + step, span.stop)
            first = span.first_row + start - span.start
            keys = arrow.array(np.arange(first, first + stop - start))
            if self._keys is not None:
                keys = self._keys.slice(start, stop - start)
            try:
                feeds = {t.name: self._feed(t, start, stop) for t in self._inputs.tensors}
            except (ValueError, OSError, zipfile.BadZipFile) as error:
                raise InputError(
                    "E-DATA-DAMAGED", f"{self.place}: cannot be read: {error}"
                ) from error
            yield Sequences(keys, feeds, missing_keys(keys))

    def _feed(self, tensor: TensorSpec, start: int, stop: int) -> Ragged | list[Any]:
        array = self._array(tensor)
        offsets = self._offsets.get(tensor.name)
        if offsets is None:
            value = array.rows(start, stop)
            return value.tolist() if tensor.dtype == TEXT else uniform(value)
        values = array.rows(int(offsets[start]), int(offsets[stop]))
        return Ragged(values, offsets[start : stop + 1] - offsets[start])

    def _array(self, tensor: TensorSpec) -> StoredArray:
        if tensor.name in self._arrays:
            return self._arrays[tensor.name]
        key = self._inputs.rules.id
        others = [n for n in self._arrays if n != key and not n.endswith(OFFSETS)]
        if self._inputs.only is not None and len(others) == 1:
            return self._arrays[others[0]]
        raise InputError(
            "E-DATA-COLUMN",
            f"{self.place}: has no array '{tensor.name}', only {', '.join(others) or 'none'}; save"
            " an array for each input of the model under its name",
        )

    def _used(self) -> list[StoredArray]:
        return [self._array(tensor) for tensor in self._inputs.tensors]

    @staticmethod
    def _row_bytes(array: StoredArray) -> int:
        return int(np.prod(array.shape[1:])) * array.dtype.itemsize

    def _read_offsets(self) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for tensor in self._inputs.tensors:
            own = self._arrays.get(f"{tensor.name}/{OFFSETS}") or self._arrays.get(OFFSETS)
            if own is not None and (len(tensor.shape) > 1 or tensor.dtype == TEXT):
                offsets = own.rows(0, own.shape[0]).astype(np.int64)
                found[tensor.name] = offsets
                length = self._array(tensor).shape[0]
                rising = offsets.ndim == 1 and len(offsets) and (np.diff(offsets) >= 0).all()
                if not rising or offsets[0] != 0 or offsets[-1] != length:
                    raise ValueError(
                        f"the offsets of '{tensor.name}' must rise from 0 to its {length} steps"
                    )
        return found

    def _read_keys(self) -> Any:
        name = self._inputs.rules.id
        if name is None:
            return None
        stored = self._arrays.get(name)
        if stored is None:
            raise InputError(
                "E-DATA-COLUMN",
                f"{self.place}: has no array '{name}' with a key for each sequence, only"
                f" {', '.join(self._arrays)}",
            )
        keys = require("pyarrow").array(stored.rows(0, stored.shape[0]).tolist())
        refuse_key_type(keys.type, f"{self.place}: array '{name}'")
        return keys_of(keys)

    def _check(self) -> int:
        """Return the number of sequences; raise InputError if inputs differ or do not fit."""
        counts = {} if self._keys is None else {"the keys": len(self._keys)}
        for tensor in self._inputs.tensors:
            array, offsets = self._array(tensor), self._offsets.get(tensor.name)
            rank = len(array.shape) + (offsets is not None)
            kinds = "US" if tensor.dtype == TEXT else "fiub"
            if rank != len(tensor.shape) or array.dtype.kind not in kinds:
                raise InputError(
                    "E-DATA-TYPE",
                    f"{self.place}: the array for input '{tensor.name}' is"
                    f" {array.dtype}{array.shape}; expected {tensor}, or values of all steps and"
                    f" an array '{OFFSETS}'",
                )
            counts[tensor.name] = array.shape[0] if offsets is None else len(offsets) - 1
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"'{name}' {count}" for name, count in counts.items())
            raise InputError(
                "E-INPUT-ROWS",
                f"{self.place}: arrays have different numbers of sequences: {listed}",
            )
        return next(iter(counts.values()))


def _npy(place: Path, file: IO[bytes] | None = None, member: str | None = None) -> StoredArray:
    if file is None:
        with place.open("rb") as own:
            return _npy(place, own)
    shape, in_columns, dtype = read_header(file)
    if in_columns and len(shape) > 1:
        raise ValueError("it is stored by columns; save np.ascontiguousarray(x)")
    return StoredArray(place, shape, dtype, file.tell(), member)


def _npz(place: Path) -> Mapping[str, StoredArray]:
    found = {}
    with zipfile.ZipFile(place) as archive, place.open("rb") as file:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if info.compress_type != zipfile.ZIP_STORED:
                with archive.open(info) as packed:
                    found[name] = _npy(place, packed, info.filename)
                continue
            file.seek(info.header_offset)
            head = file.read(LOCAL_HEADER)
            named, extra = struct.unpack("<HH", head[26:30])
            file.seek(info.header_offset + LOCAL_HEADER + named + extra)
            found[name] = _npy(place, file)
    return found
