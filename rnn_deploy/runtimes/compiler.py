"""The local C compiler: find it, read its version, and build shared libraries with it.

Libraries are stored in a cache outside of all bundles, by a hash of the sources, the compiler, its
flags and the processor, so that each machine compiles a bundle once.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rnn_deploy.errors import RuntimeUnavailableError, one_line
from rnn_deploy.runtimes.machine import processor

NAMES = ("cc", "gcc", "clang")
FLAGS = ("-std=c99", "-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno")
SHARED = ("-shared", "-fPIC")
SECONDS = 600.0
MOST_KEPT = 64  # libraries in the cache; older ones are removed


@dataclass(frozen=True)
class Compiler:
    """A C compiler: its path, and the first line that it prints as its version."""

    path: str
    version: str


@cache
def compiler() -> Compiler | None:
    """Return the compiler that $CC names, or the first available one of `NAMES`, or None."""
    wanted = os.environ.get("CC")
    for name in (wanted,) if wanted else NAMES:
        path = shutil.which(name)
        if path is None:
            continue
        try:
            done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30)
        except (OSError, subprocess.SubprocessError):
            continue
        if done.returncode == 0 and done.stdout.strip():
            return Compiler(path, done.stdout.splitlines()[0].strip())
    return None


def why_no_compiler() -> str | None:
    """Return why nothing can be compiled here, None if it can."""
    if compiler() is not None:
        return None
    if os.environ.get("CC"):
        return f"the C compiler that CC names, '{os.environ['CC']}', does not run here"
    return f"no C compiler is here ({', '.join(NAMES)}); install gcc or clang, or set CC"


def built_library(sources: Mapping[str, bytes]) -> Path:
    """Return a shared library of C files by name, from the cache or compiled now.

    Raises RuntimeUnavailableError if the compiler refuses.
    """
    found = compiler()
    if found is None:
        raise RuntimeUnavailableError("E-RUNTIME-UNAVAILABLE", why_no_compiler() or "")
    folder = _cache_folder()
    key = hashlib.sha256("\0".join((*FLAGS, found.path, found.version, processor())).encode())
    for name, content in sorted(sources.items()):
        key.update(f"\0{name}\0{len(content)}\0".encode() + content)
    library = folder / f"{key.hexdigest()}.so"
    if library.is_file():
        os.utime(library)
        return library
    with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as place:
        for name, content in sources.items():
            (Path(place) / name).write_bytes(content)
        draft = Path(place) / library.name
        _compile(found, Path(place), [name for name in sources if name.endswith(".c")], draft)
        draft.replace(library)
    _keep_newest(folder)
    return library


def _compile(found: Compiler, place: Path, files: Sequence[str], output: Path) -> None:
    errors = []
    for flags in (FLAGS, tuple(flag for flag in FLAGS if flag != "-march=native")):
        words = [found.path, *flags, *SHARED, "-o", str(output), *files, "-lm"]
        try:
            done = subprocess.run(
                words, cwd=place, capture_output=True, text=True, timeout=SECONDS, errors="replace"
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise _refused(found, one_line(error)) from error
        if done.returncode == 0:
            return
        errors.append(done.stderr)  # some processors have no -march=native
    lines = [line for line in errors[0].splitlines() if "error" in line] or errors[0].splitlines()
    raise _refused(found, lines[0] if lines else "it says nothing")


def _refused(found: Compiler, why: str) -> RuntimeUnavailableError:
    return RuntimeUnavailableError(
        "E-RUNTIME-COMPILE", f"{found.path} ({found.version}) did not compile the model: {why}"
    )


def _cache_folder() -> Path:
    """Return $RNN_DEPLOY_CACHE, or the user's cache folder, or a folder for this user."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    for root in (os.environ.get("RNN_DEPLOY_CACHE"), Path(home) / "rnn-deploy"):
        if root is None:
            continue
        folder = Path(root) / "c"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return Path(tempfile.mkdtemp(prefix="rnn-deploy-c-"))


def _keep_newest(folder: Path) -> None:
    libraries = sorted(folder.glob("*.so"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in libraries[MOST_KEPT:]:
        old.unlink(missing_ok=True)
