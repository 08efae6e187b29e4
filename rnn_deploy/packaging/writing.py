"""Write the files of a package: all of them, or none.

A package has a file that names its bundle. By this file --force recognises that it replaces a
package, and not a user's own folder.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from rnn_deploy.bundle import Bundle
from rnn_deploy.bundle.drafts import NEW, draft_folder, put_in_place
from rnn_deploy.bundle.store import writing_file
from rnn_deploy.errors import InputError
from rnn_deploy.packaging.base import Packager

MARK = "rnn-deploy-package.json"
LONGEST_FIRST_LINE = 500  # bytes, of a package that is one file


def write_package(
    packager: Packager, bundle: Bundle, files: Mapping[str, bytes], output: Path, *, force: bool
) -> None:
    """Write the files below the folder `output`.

    Raises InputError if it exists and `force` is false, or if it is not a package.
    """
    refuse_output(output, force=force)
    output.parent.mkdir(parents=True, exist_ok=True)
    with draft_folder(output) as folder:
        draft = folder / NEW
        draft.chmod(0o755)
        for path, content in {**files, MARK: _mark(packager, bundle, files)}.items():
            place = draft.joinpath(*PurePosixPath(path).parts)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        refuse_output(output, force=force)  # another process may have written it
        put_in_place(draft, output, folder)


def write_single_file(content: bytes, output: Path, *, force: bool) -> None:
    """Write a package that is one file. Raises the same errors as `write_package`."""
    refuse_output(output, force=force)
    if output.is_dir():
        raise InputError(
            "E-OPTION-NOT-REPLACED",
            f"{output} is a folder, and this package is one file; choose another -o",
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    with writing_file(output, force=force) as draft:
        draft.write_bytes(content)
        refuse_output(output, force=force)  # another process may have written it


def refuse_output(output: Path, *, force: bool) -> None:
    """Raise InputError if `output` exists, unless it is a package or empty and `force` is true."""
    if not output.exists():
        return
    if not _is_package(output):
        raise InputError(
            "E-OPTION-NOT-REPLACED",
            f"{output} exists and is no package, so even --force does not replace it; choose"
            " another -o",
        )
    if not force:
        raise InputError("E-OPTION-EXISTS", f"{output} exists; add --force to replace it")


def _is_package(output: Path) -> bool:
    if output.is_dir():
        return (output / MARK).is_file() or not any(output.iterdir())
    with output.open("rb") as file:
        return MARK.encode() in file.readline(LONGEST_FIRST_LINE)


def _mark(packager: Packager, bundle: Bundle, files: Mapping[str, bytes]) -> bytes:
    facts = {
        "packager": packager.name,
        "model": bundle.manifest.source.name,
        "bundle": bundle.digest,
        "files": {path: hashlib.sha256(content).hexdigest() for path, content in files.items()},
    }
    return (json.dumps(facts, indent=1) + "\n").encode()
