import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rnn_deploy.bundle.npy import read_npy

DTYPES = st.sampled_from(["float32", ">f4", "float64", "int64", "bool", "<U5", "S3", "float16"])
VALUES = DTYPES.flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0)))


def _saved(value):
    file = io.BytesIO()
    np.save(file, value)
    return file.getvalue()


def _read(content):
    return read_npy(io.BytesIO(content), len(content))


@given(VALUES, st.booleans())
@settings(max_examples=60, deadline=None)
def test_arrays_are_what_numpy_reads(value, in_columns):
    content = _saved(np.asfortranarray(value) if in_columns else value)
    again = _read(content)
    np.testing.assert_array_equal(again, np.load(io.BytesIO(content)), strict=True)
    assert again.flags.writeable


@pytest.mark.parametrize("shape", [(0,), (3, 0, 2)])
def test_an_empty_array_keeps_its_shape(shape):
    assert _read(_saved(np.zeros(shape, np.float32))).shape == shape


def _with_header(shape, content=b"", descr="'<f4'"):
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b"\x93NUMPY\x01\x00" + struct.pack("<H", 20) + b"{'descr': ((((((((((",
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{",
        b"\x93NUMPY\x09\x00" + struct.pack("<H", 2) + b"{}",
        _with_header("(1, 1099511627776, 4)"),
        _with_header(f"({10**30}, 4)"),
        _with_header(f"(0, {10**30})"),
        _with_header("(True, 3, 4)", bytes(48)),
        _with_header("(-1, 4)", bytes(16)),
        _with_header("(2,)", bytes(7)),
        _with_header("(2,)", bytes(9)),
        _with_header("(" + "1," * 100 + ")", bytes(4)),
        _with_header("(1,)", bytes(8), "'|O'"),
        _with_header("(1,)", bytes(8), "[('a', '<f4'), ('a', '<f4')]"),
    ],
)
def test_every_fault_is_a_value_error(content):
    with pytest.raises(ValueError) as caught:
        _read(content)
    assert str(caught.value)
