"""The bundle's folder: write it whole or not at all, and check every file before it is used.

A bundle is written to a temporary folder next to its destination and renamed when complete, so a
failed export (a full disk, an interrupt) leaves what was there before.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rnn_deploy.bundle.manifest import FileRecord, Manifest, manifest_from_json
from rnn_deploy.errors import BundleError, InputError

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk. digest: SHA-256 of its manifest, which lists the SHA-256 of each file."""

    root: Path
    manifest: Manifest
    digest: str

    def checked(self, path: str) -> Path:
        """Return the place of the file `path`, after checking its size and SHA-256."""
        record = next((r for r in self.manifest.files if r.path == path), None)
        if record is None:
            raise BundleError(
                "E-BUNDLE-FILE-UNLISTED",
                f"{self.root}: the manifest does not list '{path}'; export the model again",
            )
        place = _inside(self.root, path)
        if not place.is_file():
            raise BundleError(
                "E-BUNDLE-FILE-MISSING",
                f"{place}: this file of the bundle is missing; copy the whole bundle again",
            )
        size = place.stat().st_size
        if size != record.size:
            raise BundleError(
                "E-BUNDLE-ALTERED",
                f"{place}: has {size} bytes, the manifest says {record.size}; the file was cut or"
                " altered, so copy the bundle again or export the model again",
            )
        if sha256_of(place) != record.sha256:
            raise BundleError(
                "E-BUNDLE-ALTERED",
                f"{place}: its SHA-256 differs from the one in the manifest; the file was altered"
                " after the export, so copy the bundle again or export the model again",
            )
        return place


def open_bundle(root: str | Path) -> Bundle:
    """Open the bundle in the folder `root`; BundleError if it is missing or damaged."""
    root = Path(root)
    if not root.exists():
        raise BundleError(
            "E-BUNDLE-NOT-FOUND",
            f"{root}: no such bundle; make one with: rnn-deploy export MODEL -o {root}",
        )
    place = root / MANIFEST
    if not place.is_file():
        raise BundleError(
            "E-BUNDLE-NO-MANIFEST",
            f"{root}: is not a bundle, it has no {MANIFEST}; give the folder that"
            " rnn-deploy export wrote",
        )
    raw = place.read_bytes()
    manifest = manifest_from_json(raw, str(place))
    return Bundle(root, manifest, hashlib.sha256(raw).hexdigest())


@contextmanager
def writing_bundle(root: str | Path, *, force: bool) -> Iterator[Path]:
    """Yield a temporary folder to fill; rename it to `root` if the block ends without an error.

    Raises InputError if `root` exists and `force` is false, or if it exists and is no bundle:
    --force replaces a bundle, never another folder.
    """
    root = Path(root)
    refuse_folder(root, force=force)
    root.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{root.name}.", suffix=".part", dir=root.parent))
    try:
        draft.chmod(0o755)
        yield draft
        refuse_existing(root, force=force)  # another process may have written it
        _replace_folder(draft, root)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def writing_file(place: str | Path, *, force: bool) -> Iterator[Path]:
    """Yield a temporary path; rename it to `place` if the block ends without an error.

    The temporary name has the same ending as `place`, because many writers depend on it.
    """
    place = Path(place)
    refuse_existing(place, force=force)
    if place.is_dir():
        raise InputError(
            "E-OPTION-NOT-REPLACED",
            f"{place}: is a folder, which --force does not replace with a file; give another path",
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".part", dir=place.parent))
    try:
        draft = folder / place.name
        yield draft
        refuse_existing(place, force=force)  # as above
        draft.replace(place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def refuse_existing(place: Path, *, force: bool) -> None:
    """Raise InputError if `place` exists and `force` is false."""
    if place.exists() and not force:
        raise InputError("E-OPTION-EXISTS", f"{place}: exists already; add --force to replace it")


def refuse_folder(root: Path, *, force: bool) -> None:
    """Raise InputError if `root` exists and `force` is false, or if it is no bundle."""
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


def _is_replaceable(root: Path) -> bool:
    """Return whether `root` is a bundle or an empty folder."""
    return (root / MANIFEST).is_file() or (root.is_dir() and not any(root.iterdir()))


def _replace_folder(draft: Path, root: Path) -> None:
    if not root.exists():
        draft.rename(root)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{root.name}.", suffix=".old", dir=root.parent))
    try:
        root.rename(old / "bundle")
        try:
            draft.rename(root)
        except OSError:
            (old / "bundle").rename(root)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
