import errno
import sys

import pytest

from rnn_deploy.bundle import exchange
from rnn_deploy.bundle.exchange import exchanged


@pytest.fixture
def folders(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    return tmp_path / "a", tmp_path / "b"


def _names(folders):
    return ["".join(entry.name for entry in folder.iterdir()) for folder in folders]


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="no such call")
def test_two_folders_change_places(folders):
    assert exchanged(*folders)
    assert _names(folders) == ["b", "a"]
    with pytest.raises(FileNotFoundError):
        exchanged(folders[0], folders[1].with_name("gone"))


@pytest.mark.parametrize("fault", ["no call", "file system"])
def test_a_system_that_cannot_says_so(folders, monkeypatch, fault):
    call = None if fault == "no call" else lambda *given: -1
    monkeypatch.setattr(exchange, "_system_call", lambda: call)
    monkeypatch.setattr(exchange.ctypes, "get_errno", lambda: errno.EINVAL)
    assert not exchanged(*folders)
    assert _names(folders) == ["a", "b"]


def test_macos_has_a_call_of_its_own(folders, monkeypatch):
    given = []
    monkeypatch.setattr(exchange, "_system_call", lambda: lambda *words: given.append(words))
    monkeypatch.setattr(exchange.sys, "platform", "darwin")
    assert exchanged(*folders)
    assert [len(words) for words in given] == [3]
