import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rnn_deploy.bundle.npz import open_npz, read_npz, write_npz

names = st.text(st.characters(codec="utf-8", exclude_characters="\\\0"), min_size=1, max_size=8)
dtypes = st.sampled_from(["float32", "float64", "int32", "bool", "<U5"])
values = dtypes.flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0)))


@given(st.dictionaries(names, values, max_size=3))
@settings(max_examples=40, deadline=None)
def test_arrays_come_back_whatever_they_are_called(tmp_path_factory, given):
    place = tmp_path_factory.mktemp("npz") / "a.bin"
    write_npz(place, given)
    again = read_npz(place)
    assert list(again) == list(given)
    for name, value in given.items():
        np.testing.assert_array_equal(again[name], value, strict=True)


def test_an_array_may_be_called_file_and_numpy_reads_it(tmp_path):
    value = np.arange(6.0).reshape(2, 3)
    write_npz(tmp_path / "a.npz", {"file": value, "a/b": value.T})
    with np.load(tmp_path / "a.npz") as file:
        np.testing.assert_array_equal(file["file"], value)
        np.testing.assert_array_equal(file["a/b"], value.T)


def test_equal_arrays_give_equal_bytes(tmp_path):
    for name in "ab":
        write_npz(tmp_path / name, {"x": np.arange(3.0)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_an_object_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        write_npz(tmp_path / "a.npz", {"x": np.array([{}])})


def _squashed(place):
    """A compressed archive with a spoilt stream."""
    np.savez_compressed(place, x=np.arange(1000.0))
    content = bytearray(place.read_bytes())
    content[300:340] = b"\xff" * 40
    return bytes(content)


def _npy(place):
    np.save(place.with_suffix(".npy"), np.zeros(3))
    return place.with_suffix(".npy").read_bytes()


def _pickled(place):
    np.savez(place, x=np.array([{}]))
    return place.read_bytes()


def _no_arrays(place):
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("x.npy", b"hello")
    return place.read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        None,
        lambda place: b"",
        lambda place: b"text",
        lambda place: b"PK\x03\x04",
        _npy,
        _pickled,
        _squashed,
        _no_arrays,
    ],
    ids=["missing", "empty", "text", "cut", "npy", "pickled", "squashed", "no arrays"],
)
def test_every_fault_of_a_file_is_a_value_error(tmp_path, content):
    place = tmp_path / "a.npz"
    if content is not None:
        place.write_bytes(content(place))
    with pytest.raises(ValueError) as caught:
        read_npz(place)
    assert str(caught.value)


def test_a_missing_name_is_a_value_error(tmp_path):
    write_npz(tmp_path / "a.npz", {"x": np.zeros(2)})
    with pytest.raises(ValueError, match="gone"), open_npz(tmp_path / "a.npz") as file:
        file["gone"]
