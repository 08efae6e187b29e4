"""The bundle's folder: write it whole or not at all, and check every file before its use.

A bundle is written to a temporary folder next to its destination and moved there when complete.
So a failed export (a full disk, an interrupt, a kill) leaves the previous bundle (`drafts`).

A bundle can be replaced while it is read. Then a file of the new one meets the manifest of the old
one, which `Bundle` reports as BundleReplacedError; `with_bundle` opens the new one and repeats.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from rnn_deploy.bundle.drafts import (
    NEW,
    draft_folder,
    put_files_in_place,
    put_in_place,
    wait_for_replacement,
)
from rnn_deploy.bundle.manifest import FileRecord, Manifest, manifest_from_json
from rnn_deploy.errors import BundleError, BundleReplacedError, InputError

MANIFEST = "manifest.json"
MOST_REPLACEMENTS = 20  # that one command survives while it reads a bundle


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk. digest: SHA-256 of its manifest, which lists the SHA-256 of each file."""

    root: Path
    manifest: Manifest
    digest: str

    def read(self, path: str) -> bytes:
        """Return the content of the file `path`, after checking its size and SHA-256.

        Use these bytes, and do not read the file again: it can change at any time.
        """
        record = self._record(path)
        place = self._place(path)
        try:
            if not place.is_file():
                raise FileNotFoundError
            with place.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                content = file.read() if size == record.size else b""
        except FileNotFoundError as error:
            raise self._missing(place) from error
        self._compare(place, record, size, lambda: hashlib.sha256(content).hexdigest())
        return content

    def checked(self, path: str) -> Path:
        """Return the place of the file `path`, after checking its size and SHA-256.

        Only for files that no result is computed from; `read` returns exactly what was checked.
        """
        record = self._record(path)
        place = self._place(path)
        try:
            if not place.is_file():
                raise FileNotFoundError
            self._compare(place, record, place.stat().st_size, lambda: sha256_of(place))
        except FileNotFoundError as error:
            raise self._missing(place) from error
        return place

    def _missing(self, place: Path) -> BundleError:
        self._refuse_replaced()
        return BundleError(
            "E-BUNDLE-FILE-MISSING",
            f"{place}: this file of the bundle is missing; copy the whole bundle again",
        )

    def _record(self, path: str) -> FileRecord:
        record = next((r for r in self.manifest.files if r.path == path), None)
        if record is None:
            raise BundleError(
                "E-BUNDLE-FILE-UNLISTED",
                f"{self.root}: the manifest does not list '{path}'; export the model again",
            )
        return record

    def _place(self, path: str) -> Path:
        place = _inside(self.root, path)
        if place.is_symlink() or any(parent.is_symlink() for parent in _parents(self.root, place)):
            raise BundleError(
                "E-BUNDLE-OUTSIDE",
                f"{place}: is a symbolic link, and a bundle must hold its files itself; copy the"
                " bundle with its links resolved (cp -rL)",
            )
        return place

    def _compare(
        self, place: Path, record: FileRecord, size: int, sha256: Callable[[], str]
    ) -> None:
        """Raise BundleError if a file differs from its record."""
        if size != record.size:
            self._refuse_replaced()
            raise BundleError(
                "E-BUNDLE-ALTERED",
                f"{place}: has {size} bytes, the manifest has {record.size}; the file was cut or"
                " altered, so copy the bundle again or export the model again",
            )
        if sha256() != record.sha256:
            self._refuse_replaced()
            raise BundleError(
                "E-BUNDLE-ALTERED",
                f"{place}: its SHA-256 differs from the one in the manifest; the file was altered"
                " after the export, so copy the bundle again or export the model again",
            )

    def _refuse_replaced(self) -> None:
        """Raise BundleReplacedError if another bundle has replaced this one."""
        try:
            now = sha256_of(self.root / MANIFEST)
        except FileNotFoundError:
            wait_for_replacement(self.root)
            now = "" if self.root.exists() else self.digest
        if now != self.digest:
            raise BundleReplacedError(
                "E-BUNDLE-REPLACED",
                f"{self.root}: another bundle has replaced this one since it was opened; open it"
                " again",
            )


Result = TypeVar("Result")


def with_bundle(root: str | Path, use: Callable[[Bundle], Result]) -> Result:
    """Return what `use` returns for the bundle at `root`; repeat it if the bundle is replaced."""
    for _ in range(MOST_REPLACEMENTS):
        bundle = open_bundle(root)
        try:
            return use(bundle)
        except BundleReplacedError:
            continue
    return use(open_bundle(root))


def open_bundle(root: str | Path) -> Bundle:
    """Open the bundle in the folder `root`; raise BundleError if it is missing or damaged."""
    root = Path(root)
    place = root / MANIFEST
    for _ in range(MOST_REPLACEMENTS):
        if not root.exists():
            wait_for_replacement(root)  # another replacement may begin before we read
        with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raw = place.read_bytes()
            break
        if root.exists() and not place.is_file():  # else it was replaced between two renames
            raise _no_manifest(root)
    else:
        raise _no_manifest(root) if root.exists() else _not_found(root)
    manifest = manifest_from_json(raw, str(place))
    return Bundle(root, manifest, hashlib.sha256(raw).hexdigest())


def _not_found(root: Path) -> BundleError:
    return BundleError(
        "E-BUNDLE-NOT-FOUND",
        f"{root}: no such bundle; make one with: rnn-deploy export MODEL -o {root}",
    )


def _no_manifest(root: Path) -> BundleError:
    return BundleError(
        "E-BUNDLE-NO-MANIFEST",
        f"{root}: is not a bundle, it has no {MANIFEST}; give the folder that"
        " rnn-deploy export wrote",
    )


@contextmanager
def writing_bundle(root: str | Path, *, force: bool) -> Iterator[Path]:
    """Yield a temporary folder to fill; rename it to `root` if the block ends without an error.

    Raises InputError if `root` exists and `force` is false, or if it exists and is not a bundle:
    --force replaces a bundle, never another folder.
    """
    root = Path(root)
    refuse_folder(root, force=force)
    missing = [folder for folder in root.parents if not folder.exists()]
    root.parent.mkdir(parents=True, exist_ok=True)
    try:
        with draft_folder(root) as folder:
            draft = folder / NEW
            draft.chmod(0o755)
            yield draft
            refuse_existing(root, force=force)  # another process may have written it
            put_in_place(draft, root, folder)
    finally:
        with suppress(OSError):  # a folder that is not empty stays
            for parent in missing:
                parent.rmdir()


@contextmanager
def writing_file(place: str | Path, *, force: bool) -> Iterator[Path]:
    """Yield a temporary path; rename it to `place` if the block ends without an error.

    The temporary name has the same ending as `place`, because many writers depend on it.
    """
    with writing_files([Path(place)], force=force) as (draft,):
        yield draft


@contextmanager
def writing_files(
    places: Sequence[Path], *, force: bool, replaced: Sequence[Path] = ()
) -> Iterator[list[Path]]:
    """Yield a temporary path for each file; move all in place if the block ends without an error.

    The files belong together: even if the process is killed, no new one lies beside an old one.
    replaced: files that are replaced even without `force`.
    """
    with ExitStack() as stack:
        folders = []
        for place in places:
            _prepare_file(place, force=force or place in replaced)
            folders.append(stack.enter_context(draft_folder(place)))
        drafts = [f / NEW / place.name for f, place in zip(folders, places, strict=True)]
        yield drafts
        for place in places:
            refuse_existing(place, force=force or place in replaced)  # as above
        put_files_in_place(drafts, places, folders)


def _prepare_file(place: Path, *, force: bool) -> None:
    refuse_existing(place, force=force)
    if place.is_dir():
        raise InputError(
            "E-OPTION-NOT-REPLACED",
            f"{place}: is a folder, which --force does not replace with a file; give another path",
        )
    place.parent.mkdir(parents=True, exist_ok=True)


def refuse_existing(place: Path, *, force: bool) -> None:
    """Raise InputError if `place` exists and `force` is false."""
    if place.exists() and not force:
        raise InputError("E-OPTION-EXISTS", f"{place}: exists already; add --force to replace it")


def refuse_folder(root: Path, *, force: bool) -> None:
    """Raise InputError if `root` exists and `force` is false, or if it is not a bundle."""
    refuse_existing(root, force=force)
    if root.exists() and not _is_replaceable(root):
        raise InputError(
            "E-OPTION-NOT-REPLACED",
            f"{root}: exists and is not a bundle, so --force does not replace it; give another -o",
        )


def sha256_of(place: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record_of(root: Path, path: str) -> FileRecord:
    """Return the record of the file `path` inside `root`."""
    place = root / path
    return FileRecord(path, place.stat().st_size, sha256_of(place))


def _inside(root: Path, path: str) -> Path:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or "\\" in path:
        raise BundleError(
            "E-BUNDLE-OUTSIDE",
            f"{root}: the manifest names '{path}', which lies outside the bundle; do not use this"
            " bundle, it was altered",
        )
    return root.joinpath(*parts.parts)


def _parents(root: Path, place: Path) -> list[Path]:
    """Return the folders between a bundle and one of its files."""
    return [parent for parent in place.parents if root in parent.parents]


def _is_replaceable(root: Path) -> bool:
    """Return whether `root` is a bundle or an empty folder."""
    return (root / MANIFEST).is_file() or (root.is_dir() and not any(root.iterdir()))
