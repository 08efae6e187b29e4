"""Exchange two folders in one step, where the system has a call for it.

Linux has renameat2 with RENAME_EXCHANGE (man 2 renameat2), macOS renamex_np with RENAME_SWAP
(man 2 renamex_np). Python offers neither.
"""

import ctypes
import errno
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

AT_FDCWD = -100
RENAME_EXCHANGE = RENAME_SWAP = 2
UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}


def exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders; return whether this system can. Raise OSError if the exchange fails.

    Both must be on the same file system.
    """
    call = _system_call()
    if call is None:
        return False
    paths = os.fsencode(one), os.fsencode(other)
    if sys.platform == "darwin":
        failed = call(*paths, RENAME_SWAP)
    else:
        failed = call(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE)
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(other))


@cache
def _system_call() -> Any:
    name = {"linux": "renameat2", "darwin": "renamex_np"}.get(sys.platform)
    try:
        return None if name is None else getattr(ctypes.CDLL(None, use_errno=True), name)
    except (OSError, AttributeError):  # an old C library
        return None
