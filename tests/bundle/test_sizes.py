import numpy as np
import pytest

from rnn_deploy.bundle import npz
from rnn_deploy.bundle.sizes import DEFAULT, VARIABLE, refuse_larger, size_limit
from rnn_deploy.errors import InputError
from tests.support.errors import raises


@pytest.mark.parametrize(
    ("text", "limit"),
    [("", DEFAULT), ("1000", 1000), ("500M", 500 * 2**20), ("8g", 8 * 2**30), (" 1T ", 2**40)],
)
def test_the_user_sets_the_limit(monkeypatch, text, limit):
    monkeypatch.setenv(VARIABLE, text)
    assert size_limit() == limit


@pytest.mark.parametrize("text", ["8GB", "-1", "1.5G", "much"])
def test_another_word_is_refused(monkeypatch, text):
    monkeypatch.setenv(VARIABLE, text)
    with raises(InputError, "E-OPTION-SIZE-LIMIT", VARIABLE, text):
        size_limit()


def test_a_file_may_take_its_own_size_and_more_up_to_the_limit(monkeypatch):
    monkeypatch.setenv(VARIABLE, "1000")
    refuse_larger(1000, "x")
    refuse_larger(5000, "x", own_size=5000)
    with raises(InputError, "E-DATA-SIZE", "x", f"{VARIABLE}=1G"):
        refuse_larger(1001, "x", own_size=900)


def test_an_archive_that_expands_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    place = tmp_path / "bomb.npz"
    np.savez_compressed(place, x=np.zeros(2**20))
    monkeypatch.setenv(VARIABLE, "1M")
    assert place.stat().st_size < 2**14
    with raises(InputError, "E-DATA-SIZE", "bomb.npz"):
        npz.read_npz(place)
    monkeypatch.setenv(VARIABLE, "9M")
    assert npz.read_npz(place)["x"].shape == (2**20,)
