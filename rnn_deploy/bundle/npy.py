"""Read one array in NumPy's .npy format, and check its header before memory is allocated.

The format is that of numpy.lib.format. `np.load` allocates what the header asks for, and some
damaged headers raise errors of other kinds than ValueError.
"""

import math
import tokenize
from typing import IO, Any

import numpy as np

from rnn_deploy.spec import Array

FAULTS = (TypeError, KeyError, OverflowError, SyntaxError, RecursionError, tokenize.TokenError)
MOST_HEADER = 10_000
PIECE = 2**20


def read_npy(file: IO[bytes], size: int) -> Array:
    """Return the array of an open file of `size` bytes; every fault of it is a ValueError."""
    shape, in_columns, dtype = read_header(file)
    needed = math.prod(shape) * dtype.itemsize
    there = size - file.tell()
    if needed != there:
        raise ValueError(f"its header asks for {needed} bytes of numbers, the file has {there}")
    if len(shape) > 32 or any(length >= 2**62 for length in shape):
        raise ValueError(f"its header is damaged: the shape is {str(shape)[:80]}")
    if not needed:
        return np.zeros(shape, dtype)
    flat = np.frombuffer(_content(file, needed), dtype, count=math.prod(shape))
    return flat.reshape(shape[::-1]).T if in_columns else flat.reshape(shape)


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether it is stored by columns, and dtype; every fault is a ValueError."""
    try:
        shape, in_columns, dtype = _header(file)
    except FAULTS as error:
        raise ValueError(f"its header is damaged ({type(error).__name__}: {error})") from error
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read; save numbers instead")
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError(f"its header is damaged: the shape is {str(shape)[:80]}")
    return shape, in_columns, dtype


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        found = np.lib.format.read_array_header_1_0(file, max_header_size=MOST_HEADER)
    elif version in ((2, 0), (3, 0)):
        found = _header_2(file)
    else:
        raise ValueError(f"its format has the unknown version {version}")
    return found


def _header_2(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    at = file.tell()
    length = int.from_bytes(file.read(4), "little")
    if length > MOST_HEADER:  # NumPy would read all of it first
        raise ValueError(f"its header asks for {length} bytes")
    file.seek(at)
    return np.lib.format.read_array_header_2_0(file, max_header_size=MOST_HEADER)


def _content(file: IO[bytes], size: int) -> bytearray:
    content = bytearray(size)
    view, at = memoryview(content), 0
    while at < size:
        piece = file.read(min(PIECE, size - at))  # zipfile copies what it reads
        if not piece:
            raise ValueError("it was cut")
        view[at : at + len(piece)] = piece
        at += len(piece)
    return content
