"""The weights inside model files, and their digests in the manifest.

    model file --tensors_in--> StoredTensor --digests_of--> manifest.extensions["weights"]

This module reads only the few fields of ONNX (a protobuf) and TFLite (a flatbuffer) that hold
constants. So every machine can compare weights with NumPy alone, without onnx or LiteRT.
Specifications: onnx/onnx.proto, and schema.fbs of TensorFlow Lite.
"""

import hashlib
import mmap
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np

from rnn_deploy.bundle.manifest import Artifact
from rnn_deploy.spec import Array

EXTENSION = "weights"
Content = bytes | mmap.mmap
Read = Callable[[str], Content]  # returns a file of a bundle by its path
Digests = dict[str, dict[str, str]]  # by artifact, then by tensor

_ONNX_TYPES = {1: "f4", 6: "i4", 7: "i8", 10: "f2", 11: "f8"}
_TFLITE_TYPES = {0: "f4", 1: "f2", 2: "i4", 4: "i8", 9: "i1", 10: "f8"}


@dataclass(frozen=True)
class StoredTensor:
    """A constant of a model file.

    file: the file that holds its bytes. dtype: NumPy's code; empty for a type that is not read.
    """

    name: str
    file: str
    dtype: str
    shape: tuple[int, ...]
    content: bytes

    @property
    def digest(self) -> str:
        """The first half of the SHA-256 of type, shape and content."""
        head = f"{self.dtype}{self.shape}".encode()
        return hashlib.sha256(head + self.content).hexdigest()[:32]

    @property
    def values(self) -> Array | None:
        """The values, flat; None if they cannot be read."""
        if not self.dtype or len(self.content) % np.dtype(self.dtype).itemsize:
            return None
        return np.frombuffer(self.content, self.dtype)


def digests_of(artifacts: Iterable[Artifact], read: Read) -> Digests:
    """Return the digest of every constant of the artifacts whose format is known."""
    found: Digests = {}
    read = cache(read)
    for artifact in artifacts:
        if artifact.path not in found and artifact.format in READABLE:
            found[artifact.path] = {t.name: t.digest for t in tensors_in(artifact, read)}
    return found


def mapped(place: Path) -> Content:
    """Return a file without reading it into memory as a whole."""
    with place.open("rb") as file:
        if not place.stat().st_size:
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def tensors_in(artifact: Artifact, read: Read) -> Iterator[StoredTensor]:
    """Yield the constants of a model file; raise ValueError if it cannot be read.

    Equal names in one file get a number.
    """
    seen: dict[str, int] = {}
    try:
        for tensor in READABLE[artifact.format](artifact.path, read):
            count = seen[tensor.name] = seen.get(tensor.name, 0) + 1
            name = tensor.name if count == 1 else f"{tensor.name} ({count})"
            yield StoredTensor(name, tensor.file, tensor.dtype, tensor.shape, tensor.content)
    except (struct.error, IndexError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"{artifact.path}: cannot be read as {artifact.format}") from error


def _onnx_tensors(path: str, read: Read) -> Iterator[StoredTensor]:
    model = read(path)
    for number, value in _fields(model, 0, len(model)):
        if number == 7 and isinstance(value, tuple):
            yield from _of_graph(model, value, path, read)


def _of_graph(
    model: Content, span: tuple[int, int], path: str, read: Read
) -> Iterator[StoredTensor]:
    for number, value in _fields(model, *span):
        if not isinstance(value, tuple):
            continue
        if number == 5:
            yield _onnx_tensor(model, value, path, read, "")
        elif number == 1:
            yield from _of_node(model, value, path, read)


def _of_node(
    model: Content, span: tuple[int, int], path: str, read: Read
) -> Iterator[StoredTensor]:
    node = [(n, v) for n, v in _fields(model, *span) if isinstance(v, tuple)]
    output = next((model[a:b].decode() for n, (a, b) in node if n == 2), "")
    for number, attribute in node:
        for inner, value in _fields(model, *attribute) if number == 5 else ():
            if isinstance(value, tuple) and inner == 5:
                yield _onnx_tensor(model, value, path, read, output)
            elif isinstance(value, tuple) and inner in (6, 11):
                yield from _of_graph(model, value, path, read)


def _onnx_tensor(
    model: Content, span: tuple[int, int], path: str, read: Read, output: str
) -> StoredTensor:
    """Return a TensorProto. output: the output of its node, as the name of a tensor without one."""
    dims: list[int] = []
    name, kind, content, file, place = "", 0, b"", path, dict[str, str]()
    for number, value in _fields(model, *span):
        if isinstance(value, int):
            dims += [value] if number == 1 else []
            kind = value if number == 2 else kind
            continue
        part = model[slice(*value)]
        if number == 1:  # packed
            dims += _varints(part)
        elif number == 8:
            name = part.decode()
        elif number in (4, 5, 6, 7, 9, 10, 11):
            content += part
        elif number == 13:
            key, text = (part[slice(*v)].decode() for _, v in _fields(part, 0, len(part)) if v)  # type: ignore[misc]
            place[key] = text
    if "location" in place:
        file = str(PurePosixPath(path).parent / place["location"])
        start, whole = int(place.get("offset", "0")), read(file)
        end = start + int(place["length"]) if "length" in place else len(whole)
        content = whole[start:end]
    return StoredTensor(output or name, file, _ONNX_TYPES.get(kind, ""), tuple(dims), content)


def _fields(data: Content, at: int, end: int) -> Iterator[tuple[int, int | tuple[int, int]]]:
    """Yield the fields of a protobuf message: their numbers, and values or the places of bytes."""
    while at < end:
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise struct.error("unknown kind of field")
        if at + size > end:
            raise struct.error("a field is cut off")
        yield key >> 3, (at, at + size)
        at += size


def _varint(data: Content, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise struct.error("a number is too long")


def _varints(data: Content) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values


def _tflite_tensors(path: str, read: Read) -> Iterator[StoredTensor]:
    data = read(path)
    model = _Table(data, _u32(data, 0))
    buffers = model.tables(4)
    users: dict[int, _Table] = {}
    for graph in model.tables(2):
        for tensor in graph.tables(0):
            users.setdefault(tensor.u32(2), tensor)
    for index, buffer in enumerate(buffers):
        content = buffer.vector(0, 1)
        if not content:
            continue
        user = users.get(index)
        name = "" if user is None else user.vector(3, 1).decode("utf-8", "replace")
        shape = () if user is None else tuple(np.frombuffer(user.vector(0, 4), "<i4").tolist())
        dtype = "" if user is None else _TFLITE_TYPES.get(user.i8(1), "")
        yield StoredTensor(name or f"constant {index}", path, dtype, shape, content)


def _u32(data: Content, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])


class _Table:
    """A table of a flatbuffer: its fields by number."""

    def __init__(self, data: Content, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - int(struct.unpack_from("<i", data, at)[0])
        self._size = int(struct.unpack_from("<H", data, self._fields)[0])

    def _place(self, field: int) -> int:
        """Return where a field is; 0 if it has its default value."""
        entry = 4 + 2 * field
        if entry >= self._size:
            return 0
        offset = int(struct.unpack_from("<H", self._data, self._fields + entry)[0])
        return self._at + offset if offset else 0

    def u32(self, field: int) -> int:
        at = self._place(field)
        return _u32(self._data, at) if at else 0

    def i8(self, field: int) -> int:
        at = self._place(field)
        return int(struct.unpack_from("<b", self._data, at)[0]) if at else 0

    def vector(self, field: int, item: int) -> bytes:
        """Return the bytes of a vector whose items have `item` bytes."""
        at = self._place(field)
        if not at:
            return b""
        at += _u32(self._data, at)
        return self._data[at + 4 : at + 4 + item * _u32(self._data, at)]

    def tables(self, field: int) -> list["_Table"]:
        at = self._place(field)
        if not at:
            return []
        at += _u32(self._data, at)
        places = range(at + 4, at + 4 + 4 * _u32(self._data, at), 4)
        return [_Table(self._data, place + _u32(self._data, place)) for place in places]


# The reader of constants for each format.
READABLE: dict[str, Callable[[str, Read], Iterator[StoredTensor]]] = {
    "onnx": _onnx_tensors,
    "tflite": _tflite_tensors,
    "tflite-micro": _tflite_tensors,
}
