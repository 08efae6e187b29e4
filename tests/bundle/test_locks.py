import subprocess
import sys
from pathlib import Path

import rnn_deploy
from rnn_deploy.bundle import locks
from rnn_deploy.bundle.locks import FileLock

ROOT = Path(rnn_deploy.__file__).parents[1]
HOLDER = """
import sys
from pathlib import Path
from rnn_deploy.bundle.locks import FileLock
FileLock(Path(sys.argv[1])).acquire()
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_lock_is_free_when_its_process_has_ended(tmp_path):
    place = tmp_path / "lock"
    assert not FileLock(place).was_acquired()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, place],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert holder.stdout.readline() == b"locked\n"
    assert FileLock(place).was_acquired()
    assert not FileLock(place).is_free()
    holder.kill()
    holder.communicate()
    assert FileLock(place).is_free()


def test_a_lock_of_this_process_is_not_free(tmp_path):
    lock = FileLock(tmp_path / "lock")
    lock.acquire()
    assert not FileLock(tmp_path / "lock").is_free()
    lock.release()
    assert FileLock(tmp_path / "lock").is_free()


def test_without_file_locks_nothing_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.setattr(locks, "msvcrt", None)
    lock = FileLock(tmp_path / "lock")
    lock.acquire()
    lock.release()
    assert lock.was_acquired()
    assert not lock.is_free()


def test_windows_locks_the_first_byte(tmp_path, monkeypatch):
    class Windows:
        LK_NBLCK, calls = 2, 0

        def locking(self, descriptor, mode, count):
            self.calls += 1
            if self.calls > 1:
                raise PermissionError(13, "locked")

    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.setattr(locks, "msvcrt", Windows())
    lock = FileLock(tmp_path / "lock")
    lock.acquire()
    assert not lock.is_free()


def test_a_missing_file_is_not_free(tmp_path):
    assert not FileLock(Path(tmp_path / "gone")).is_free()
