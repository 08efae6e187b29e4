"""The files of onnxruntime-web, of one pinned version: from the user, the cache, or npm.

They are not part of this package (14 MB). Each file is compared with its SHA-256, so its origin
does not matter. `npm` downloads them, because it knows the user's registry and proxy.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from rnn_deploy.errors import InputError, RuntimeUnavailableError, one_line

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
PACK = f"npm pack {PACKAGE}@{VERSION}"
# The `integrity` of the npm registry: base64 of the SHA-512 of the archive.
INTEGRITY = (
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
)
MODULE, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
SHA256 = {
    MODULE: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
SECONDS = 300
FLAG = "--onnxruntime-web"


@dataclass(frozen=True)
class OrtWebFiles:
    """The JavaScript module and the WebAssembly of ONNX Runtime."""

    module: bytes
    wasm: bytes


def ort_web_files(given: str = "") -> OrtWebFiles:
    """Return the files of onnxruntime-web.

    given: its folder (node_modules/onnxruntime-web) or archive (.tgz); without it they come from
    the cache, or are downloaded into it. Raises InputError for files of another version, and
    RuntimeUnavailableError if they cannot be downloaded.
    """
    if given:
        return _checked(_from_user(Path(given)), given)
    cached = cached_files()
    if cached is not None:
        return cached
    files = _checked(_from_archive(_downloaded()), PACK)
    _keep(files)
    return files


def cached_files() -> OrtWebFiles | None:
    """Return the files in the user's cache; None if they are not there or damaged."""
    folder = cache_folder()
    if not all((folder / name).is_file() for name in SHA256):
        return None
    files = {name: (folder / name).read_bytes() for name in SHA256}
    return None if _altered(files) else OrtWebFiles(files[MODULE], files[WASM])


def _from_user(place: Path) -> dict[str, bytes]:
    if place.is_file():
        return _from_archive(place.read_bytes(), str(place))
    for folder in (place, place / "dist", place / "package" / "dist"):
        if all((folder / name).is_file() for name in SHA256):
            return {name: (folder / name).read_bytes() for name in SHA256}
    raise InputError(
        "E-OPTION-ORT-WEB",
        f"{FLAG} {place}: expected the folder or the .tgz of {PACKAGE} {VERSION} with {MODULE} and"
        f" {WASM}; get it with: npm pack {PACKAGE}@{VERSION}",
    )


def _from_archive(content: bytes, where: str = PACK) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=BytesIO(content), mode="r:gz") as archive:
            for member in archive:
                name = member.name.removeprefix("package/dist/")
                file = archive.extractfile(member) if name in SHA256 else None
                if file is not None:
                    found[name] = file.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(
            "E-OPTION-ORT-WEB",
            f"{where}: is no archive of {PACKAGE} ({one_line(error)}); get it with: npm pack"
            f" {PACKAGE}@{VERSION}",
        ) from error
    return found


def _checked(files: Mapping[str, bytes], where: str) -> OrtWebFiles:
    wrong = _altered(files)
    if wrong:
        raise InputError(
            "E-OPTION-ORT-WEB",
            f"{where}: {wrong} is not the file of {PACKAGE} {VERSION}, with which packages are"
            f" tested; get that version with: npm pack {PACKAGE}@{VERSION}",
        )
    return OrtWebFiles(files[MODULE], files[WASM])


def _altered(files: Mapping[str, bytes]) -> str:
    """Return the first file that is missing or has another SHA-256, empty if all are right."""
    for name, sha256 in SHA256.items():
        if name not in files or hashlib.sha256(files[name]).hexdigest() != sha256:
            return name
    return ""


def _downloaded() -> bytes:
    """Return the archive; raise RuntimeUnavailableError if the download fails or differs."""
    try:
        content = _by_npm()
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise RuntimeUnavailableError(
            "E-RUNTIME-ORT-WEB",
            f"{PACKAGE} {VERSION} cannot be downloaded ({one_line(error)}); without a network, get"
            f" it on another machine with: npm pack {PACKAGE}@{VERSION}, and add {FLAG} FILE.tgz",
        ) from error
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != INTEGRITY:
        raise RuntimeUnavailableError(
            "E-RUNTIME-ORT-WEB",
            f"the download of {PACKAGE} {VERSION} has another SHA-512 than the npm registry"
            f" publishes; check the registry that npm uses, or add {FLAG} FILE.tgz",
        )
    return content


def _by_npm() -> bytes:
    """Return the archive from the registry that the user has set for npm."""
    if shutil.which("npm") is None:
        raise ValueError("npm is not installed; it comes with Node.js")
    with tempfile.TemporaryDirectory(prefix="rnn-deploy-npm-") as folder:
        done = subprocess.run(
            ["npm", "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--silent"],
            cwd=folder, capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode or not archives:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise ValueError(f"npm pack failed: {lines[-1] if lines else done.returncode}")
        return archives[0].read_bytes()


def cache_folder() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = os.environ.get("RNN_DEPLOY_CACHE") or Path(home) / "rnn-deploy"
    return Path(root) / PACKAGE / VERSION


def _keep(files: OrtWebFiles) -> None:
    """Write the files into the cache; if that fails, the next call downloads them again."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, content in ((MODULE, files.module), (WASM, files.wasm)):
            with tempfile.NamedTemporaryFile(dir=folder, delete=False) as draft:
                draft.write(content)
            Path(draft.name).replace(folder / name)
    except OSError:
        return
