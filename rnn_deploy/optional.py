"""Imports of packages that belong to an extra, with the pip command when one is missing."""

import importlib
import importlib.util
import json
import os
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlsplit

from rnn_deploy.errors import MissingExtraError

DISTRIBUTION = "rnn-deploy"
EXTRA_OF = {
    "tensorflow": "export",
    "keras": "export",
    "tf_keras": "export",
    "tf2onnx": "export",
    "onnx": "export",
    "onnx_ir": "export",
    "onnxruntime": "ort",
    "onnxruntime-gpu": "ort-gpu",
    "openvino": "openvino",
    "ai_edge_litert": "litert",
    "ai_edge_quantizer": "quantize",
    "tflite_micro": "micro",
    "matplotlib": "report",
    "jinja2": "report",
    "pyarrow": "score",
    "dask": "dask",
    "distributed": "dask",
    "ray": "ray",
}


def is_installed(package: str) -> bool:
    """Return whether `package` can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def installed_version(package: str) -> str | None:
    """Return the version of a distribution, None if it is not installed."""
    # A late import: it costs a tenth of the start of `rnn-deploy run`, which needs no versions.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def require(module: str) -> ModuleType:
    """Import `module`, or raise MissingExtraError with the pip command that installs it."""
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise MissingExtraError(
            "E-RUNTIME-MISSING-EXTRA",
            f"the package '{package}' is not installed; install it with {pip_line(package)}",
        ) from error


def pip_line(package: str) -> str:
    """Return the command that adds the extra with `package` to this installation.

    pip records in direct_url.json (PEP 610) the origin of a distribution, unless it was an index.
    An extra must come from the same origin, because an index may not have rnn-deploy.
    """
    extra = EXTRA_OF[package]
    origin = _origin()
    url = origin.get("url", "")
    if not url:
        words = [f"{DISTRIBUTION}[{extra}]"]
    elif not url.startswith("file:") or "vcs_info" in origin:
        words = [f"{DISTRIBUTION}[{extra}] @ {_pinned(url, origin)}"]
    elif not (place := _path(url)).exists():  # a wheel that was deleted after the installation
        words = _requirements(extra)
    elif origin.get("dir_info", {}).get("editable"):
        words = ["-e", f"{place}[{extra}]"]
    else:
        words = [f"{place}[{extra}]"]
    return f"pip install {' '.join(map(_quoted, words))}"


def _origin() -> dict[str, Any]:
    """Return where this package was installed from, in the form of direct_url.json."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        noted = distribution(DISTRIBUTION).read_text("direct_url.json")
    except PackageNotFoundError:
        noted = None
    if noted is not None:
        origin: dict[str, Any] = json.loads(noted)
        return origin
    source = Path(__file__).resolve().parents[1]
    if (source / "pyproject.toml").is_file():  # a checkout on PYTHONPATH, not installed
        return {"url": source.as_uri(), "dir_info": {"editable": True}}
    return {}


def _pinned(url: str, origin: dict[str, Any]) -> str:
    vcs = origin.get("vcs_info")
    return url if vcs is None else f"{vcs['vcs']}+{url}@{vcs['commit_id']}"


def _path(url: str) -> Path:
    path = unquote(urlsplit(url).path)
    return Path(path[1:] if os.name == "nt" else path)  # file:///C:/folder


def _requirements(extra: str) -> list[str]:
    """Return the requirements of an extra from the metadata: 'onnx>=1.20; extra == "ort"'."""
    from importlib.metadata import requires

    mark = f"extra=='{extra}'"
    lines = (line.partition(";") for line in requires(DISTRIBUTION) or ())
    return [
        need.strip() for need, _, when in lines if when.replace(" ", "").replace('"', "'") == mark
    ]


def _quoted(word: str) -> str:
    """Quote a word for the shell; the Windows shell knows only double quotes."""
    return f'"{word}"' if os.name == "nt" and not word.startswith("-") else shlex.quote(word)
