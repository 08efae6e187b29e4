"""A minimal reader of the protobuf wire format, so that the run side needs no onnx package.

Source: protobuf.dev/programming-guides/encoding. Raises ValueError for other bytes.
"""

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def messages_in(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the number and content of every field of bytes: messages and strings."""
    for number, value in fields_in(data):
        if isinstance(value, memoryview):
            yield number, value


def fields_in(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Yield the number and value of every field that holds bytes or a whole number."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
        elif kind == BYTES:
            size, at = _varint(data, at)
            if size > len(data) - at:
                raise ValueError("it was cut")
            yield key >> 3, data[at : at + size]
            at += size
        elif kind in (FIXED64, FIXED32):
            at += 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"it has a field of the unknown kind {kind}")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("it was cut")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("it has a number of more than 10 bytes")
