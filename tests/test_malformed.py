"""Damaged files of every kind: whatever is in them, the result is a value or one of our errors.

scripts/fuzz.py runs the same readers with any number of mutations.
"""

import zlib

import pytest

from rnn_deploy.bundle import open_bundle
from rnn_deploy.errors import RnnDeployError
from tests.support.fuzz import mutations, readers

COUNT = 60
NAMES = [
    *("inputs.npz", "packed.npz", "inputs.npy", "inputs.csv", "inputs.jsonl", "states.npz"),
    *("results.npz", "manifest.json", "golden.npz", "proof.npz", "external.onnx"),
]


@pytest.fixture(scope="module")
def all_readers(_small_bundle, tmp_path_factory):
    found = readers(open_bundle(_small_bundle), tmp_path_factory.mktemp("fuzz"))
    return {reader.name: reader for reader in found}


def test_every_reader_is_listed(all_readers):
    assert list(all_readers) == NAMES


@pytest.mark.filterwarnings("ignore")  # NumPy warns of some damaged headers
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_a_value_or_an_error_of_ours(all_readers, tmp_path, name):
    reader = all_readers[name]
    place = tmp_path / reader.name
    place.write_bytes(reader.content)
    reader.read(place)
    refused = 0
    for content in mutations(reader.content, zlib.crc32(name.encode()), COUNT):
        place.write_bytes(content)
        try:
            reader.read(place)
        except RnnDeployError:
            refused += 1
    assert refused > COUNT / 10
