"""The bundle's folder: written whole or not at all, every file checked before it is used.

A bundle is made in a temporary folder beside its place and renamed when complete, so a failed
export (a full disk, a stop) leaves what was there before.
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
    """A bundle on disk. digest: SHA-256 of its manifest, which holds every other file's."""

    root: Path
    manifest: Manifest
    digest: str

    def checked(self, path: str) -> Path:
        """Where the file `path` of the bundle lies, its size and SHA-256 found as recorded."""
        record = next((r for r in self.manifest.files if r.path == path), None)
        if record is None:
            raise BundleError(f"{self.root}: the manifest lists no file '{path}'")
        place = _inside(self.root, path)
        if not place.is_file():
            raise BundleError(f"{place}: the manifest lists this file and it is missing")
        size = place.stat().st_size
        if size != record.size:
            raise BundleError(
                f"{place}: has {size} bytes, the manifest says {record.size};"
                " it was cut or altered, export the model again"
            )
        if sha256_of(place) != record.sha256:
            raise BundleError(
                f"{place}: its SHA-256 is not the manifest's;"
                " it was altered after the export, export the model again"
            )
        return place


def open_bundle(root: str | Path) -> Bundle:
    """Open the bundle in the folder `root`; BundleError when it is none or is damaged."""
    root = Path(root)
    if not root.exists():
        raise BundleError(
            f"{root}: no such bundle; make one with: rnn-deploy export MODEL -o {root}"
        )
    place = root / MANIFEST
    if not place.is_file():
        raise BundleError(
            f"{root}: not a bundle, it has no {MANIFEST}; "
            "a bundle is the folder that rnn-deploy export writes"
        )
    raw = place.read_bytes()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(f"{place}: is damaged ({error}); export the model again") from error
    try:
        manifest = manifest_from_json(text)
    except BundleError as error:
        raise BundleError(f"{root}: {error}") from error
    return Bundle(root, manifest, hashlib.sha256(raw).hexdigest())


@contextmanager
def writing_bundle(root: str | Path, *, force: bool) -> Iterator[Path]:
    """Give a temporary folder to fill; rename it to `root` if the block ends well.

    InputError when `root` exists and `force` is false, or when it is something else than a
    bundle: --force replaces a bundle, never somebody's folder.
    """
    root = Path(root)
    refuse_folder(root, force=force)
    root.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{root.name}.", suffix=".part", dir=root.parent))
    try:
        draft.chmod(0o755)
        yield draft
        refuse_existing(root, force=force)  # another may have written it in the meantime
        _replace_folder(draft, root)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def writing_file(place: str | Path, *, force: bool) -> Iterator[Path]:
    """Give a temporary path beside `place` to write; rename it to `place` if the block ends well.

    The temporary name ends as `place` does, since many writers go by the ending.
    """
    place = Path(place)
    refuse_existing(place, force=force)
    if place.is_dir():
        raise InputError(f"{place}: is a folder, which --force does not replace with a file")
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
    """InputError if `place` exists and `force` is false."""
    if place.exists() and not force:
        raise InputError(f"{place}: exists already; add --force to replace it")


def refuse_folder(root: Path, *, force: bool) -> None:
    """InputError if `root` exists and `force` is false, or it is something else than a bundle."""
    refuse_existing(root, force=force)
    if root.exists() and not _is_replaceable(root):
        raise InputError(
            f"{root}: exists and is not a bundle, so --force does not replace it; choose another -o"
        )


def sha256_of(place: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record_of(root: Path, path: str) -> FileRecord:
    """The record of the file `path` inside `root`."""
    place = root / path
    return FileRecord(path, place.stat().st_size, sha256_of(place))


def _inside(root: Path, path: str) -> Path:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or "\\" in path:
        raise BundleError(f"{root}: the manifest names '{path}', which is outside the bundle")
    return root.joinpath(*parts.parts)


def _is_replaceable(root: Path) -> bool:
    """Whether `root` is a bundle or an empty folder."""
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
