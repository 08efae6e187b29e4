"""Temporary folders next to a destination, and how a draft is moved to the destination.

    .NAME.xxxxxxxx.part/   made and locked by one writer, removed when it is done
        lock               locked while that process lives, so that leftovers can be recognised
        new                the draft, or the folder that the draft is in
        old                what was at the destination, between the two renames of `put_in_place`

A killed writer leaves its folder behind. The next writer of the same destination removes it. If
the writer was killed between the two renames, the next reader or writer moves `old` back.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rnn_deploy.bundle.exchange import exchanged
from rnn_deploy.bundle.locks import FileLock

LOCK, NEW, OLD = "lock", "new", "old"
YOUNG = 60.0  # seconds; a younger folder without a lock belongs to a writer that is starting
PATIENCE = 2.0  # seconds that a reader waits between the two renames of a living writer
IN_USE = 5.0  # seconds that a writer waits for readers on Windows


@contextmanager
def draft_folder(place: Path) -> Iterator[Path]:
    """Yield a folder next to `place` with an empty folder `NEW` in it; remove it at the end.

    Leftovers of killed writers are removed first.
    """
    remove_leftovers(place)
    folder = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".part", dir=place.parent))
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire()
        (folder / NEW).mkdir()
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def put_in_place(draft: Path, place: Path, folder: Path) -> None:
    """Rename the folder `draft` to `place`, also if something is there.

    folder: the writer's folder, which takes the old one. Where the system can exchange two folders,
    `place` exists at every moment.
    """
    while True:
        if not os.path.lexists(place):
            if _renamed_to_nothing(draft, place):
                return
            continue  # another writer was faster
        with suppress(FileNotFoundError):  # another writer moved it away
            if exchanged(draft, place) or _renamed_twice(draft, place, folder):
                return


def put_files_in_place(
    drafts: Sequence[Path], places: Sequence[Path], folders: Sequence[Path]
) -> None:
    """Move several files to their places, so that new ones never lie beside old ones.

    First all old files are moved away, then all new ones in. If that fails, the old ones return. A
    single file is replaced in one step.
    """
    if len(places) == 1:
        drafts[0].replace(places[0])
        return
    moved: list[tuple[Path, Path]] = []
    try:
        for place, folder in zip(places, folders, strict=True):
            if os.path.lexists(place):
                place.rename(folder / OLD)
                moved.append((folder / OLD, place))
    except OSError:
        for old, place in moved:
            old.rename(place)
        raise
    for old, _ in moved:
        old.unlink()  # otherwise the next writer moves it back beside a new one
    for draft, place in zip(drafts, places, strict=True):
        draft.replace(place)


def wait_for_replacement(place: Path) -> None:
    """Wait for a writer between two renames; if it was killed, move the old folder back."""
    deadline = time.monotonic() + PATIENCE
    while not place.exists() and time.monotonic() < deadline:
        between = [folder for folder in _folders_of(place) if (folder / OLD).exists()]
        if not between:
            return
        for folder in between:
            if _is_leftover(folder):
                _recover(folder, place)
        time.sleep(0.005)


def remove_leftovers(place: Path) -> None:
    """Remove the folders of killed writers of `place`, after moving back what they moved away."""
    for folder in _folders_of(place):
        if _is_leftover(folder):
            _recover(folder, place)
            shutil.rmtree(folder, ignore_errors=True)


def _folders_of(place: Path) -> list[Path]:
    ours = re.compile(rf"\.{re.escape(place.name)}\.[a-z0-9_]{{8}}\.(part|old)")
    try:
        return [entry for entry in place.parent.iterdir() if ours.fullmatch(entry.name)]
    except OSError:
        return []


def _is_leftover(folder: Path) -> bool:
    """Return whether the process that made a folder has ended."""
    lock = FileLock(folder / LOCK)
    try:
        if not lock.was_acquired():
            return time.time() - folder.stat().st_mtime > YOUNG
    except OSError:
        return False  # its writer has just removed it
    return lock.is_free()


def _recover(folder: Path, place: Path) -> None:
    if not os.path.lexists(place):
        with suppress(OSError):  # another reader did it, or may not write here
            (folder / OLD).rename(place)


def _renamed_to_nothing(draft: Path, place: Path) -> bool:
    try:
        draft.rename(place)
    except OSError:
        if os.path.lexists(place):
            return False
        raise
    return True


def _renamed_twice(draft: Path, place: Path, folder: Path) -> bool:
    _rename_unused(place, folder / OLD)
    try:
        if _renamed_to_nothing(draft, place):
            return True
    except OSError:
        (folder / OLD).rename(place)
        raise
    shutil.rmtree(folder / OLD, ignore_errors=True)  # another writer's is in its place already
    return False


def _rename_unused(place: Path, to: Path) -> None:
    """Rename a folder; on Windows, wait until nobody has a file in it open."""
    deadline = time.monotonic() + IN_USE
    while True:
        try:
            place.rename(to)
            return
        except PermissionError:
            if os.name != "nt" or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
