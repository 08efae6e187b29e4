"""The reader of the protobuf wire format."""

import pytest
from onnx import OperatorSetIdProto, TensorProto

from rnn_deploy.runtimes.protobuf import fields_in, messages_in


def read(content, reader=fields_in):
    return [(n, v if isinstance(v, int) else bytes(v)) for n, v in reader(memoryview(content))]


def test_numbers_and_bytes_are_read():
    content = OperatorSetIdProto(domain="ä", version=300).SerializeToString()
    assert read(content) == [(1, "ä".encode()), (2, 300)]
    assert read(content, messages_in) == [(1, "ä".encode())]


def test_fixed_numbers_are_skipped():
    assert read(b"\x0d1234" + b"\x1112345678" + b"\x18\x07") == [(3, 7)]


@pytest.mark.parametrize("content", [b"\x0a\x05ab", b"\x08", b"\x0b", b"\x08" + b"\xff" * 11])
def test_damaged_bytes_are_refused(content):
    with pytest.raises(ValueError):
        read(content)


def test_a_tensor_without_fields_is_empty():
    assert read(TensorProto().SerializeToString()) == []
