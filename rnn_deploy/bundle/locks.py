"""A file that one process keeps locked while it lives; the system unlocks it at the end."""

import os
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
try:
    import msvcrt
except ImportError:
    msvcrt = None  # type: ignore[assignment]

MARK = b"locked"


class FileLock:
    """A lock on a file. On a system without file locks it is never free, so nothing is removed."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Make the file and lock it until `release`."""
        self._descriptor = os.open(self._place, os.O_RDWR | os.O_CREAT, 0o600)
        with suppress(OSError):  # a file system without locks
            _lock(self._descriptor)
        os.write(self._descriptor, MARK)

    def release(self) -> None:
        """Unlock the file; it stays."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def was_acquired(self) -> bool:
        """Return whether a process has had the lock; if not, one may be about to take it."""
        try:
            return self._place.stat().st_size == len(MARK)
        except FileNotFoundError:
            return False

    def is_free(self) -> bool:
        """Return whether the process that locked the file has ended."""
        try:
            descriptor = os.open(self._place, os.O_RDWR)
        except OSError:
            return False
        try:
            _lock(descriptor)
        except OSError:
            return False
        finally:
            os.close(descriptor)  # unlocks it, too
        return True


def _lock(descriptor: int) -> None:
    """Lock a file; raise OSError if another process has locked it, or the system has no locks."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    elif msvcrt is not None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    else:
        raise OSError("this system has no file locks")
