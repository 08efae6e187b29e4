import signal
import zipfile

import h5py
import numpy as np
import pytest

from rnn_deploy.errors import InputError
from rnn_deploy.keras import hdf5_check
from rnn_deploy.keras.hdf5_check import check_hdf5
from rnn_deploy.workers.hdf5 import read_all
from tests.support.errors import raises

LIMIT = 2**30


def _written(place, shape=(3, 4)):
    with h5py.File(place, "w") as file:
        file.attrs["model_config"] = "{}"
        data = file.create_group("layer").create_dataset("w", shape, "f4", chunks=True)
        if np.prod(shape) < 10**6:
            data[...] = np.random.default_rng(0).standard_normal(shape)
    return place


def _in_archive(place, inner):
    with zipfile.ZipFile(place, "w") as archive:
        archive.write(inner, "model.weights.h5")
    return place


def test_whole_files_are_read(tmp_path):
    plain = _written(tmp_path / "m.h5")
    assert read_all(str(plain), LIMIT) == ("", 0)
    assert read_all(str(_in_archive(tmp_path / "m.keras", plain)), LIMIT) == ("", 0)
    (tmp_path / "m.json").write_text("{}")
    assert read_all(str(tmp_path / "m.json"), LIMIT) == ("", 0)


def test_a_damaged_file_is_a_fault(tmp_path):
    place = _written(tmp_path / "m.h5")
    place.write_bytes(place.read_bytes()[:-1500])
    assert read_all(str(place), LIMIT)[0]
    assert read_all(str(_in_archive(tmp_path / "m.keras", place)), LIMIT)[0]


def test_a_dataset_that_asks_for_more_than_the_limit_is_not_read(tmp_path):
    place = _written(tmp_path / "m.h5", (10**6, 10**6))
    assert read_all(str(place), LIMIT) == ("", 4 * 10**12)
    with raises(InputError, "E-DATA-SIZE", "m.h5"):
        check_hdf5(place)


@pytest.mark.parametrize(
    ("worker", "seconds", "words"),
    [("kills_itself", 60.0, signal.SIGSEGV.name), ("sleeps", 0.5, "within 0.5 s")],
)
def test_a_crash_and_a_hang_are_refused(tmp_path, monkeypatch, worker, seconds, words):
    place = _written(tmp_path / "m.h5")
    monkeypatch.setattr(hdf5_check, "WORKER", f"tests.support.worker_calls:{worker}")
    monkeypatch.setattr(hdf5_check, "SECONDS", seconds)
    monkeypatch.setattr(hdf5_check, "BYTES_PER_SECOND", 1e12)
    with raises(InputError, "E-SOURCE-DAMAGED-H5", "m.h5", words):
        check_hdf5(place)
