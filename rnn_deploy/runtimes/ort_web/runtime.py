"""ONNX Runtime in WebAssembly under Node.js (`ort-web`), by the module of the web package.

With it, `verify` checks the computation of a page without a browser. Each runner has its own Node
process, which receives a line of JSON for each call.
"""

import base64
import json
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from rnn_deploy.bundle import Artifact, Bundle
from rnn_deploy.errors import InputError, RuntimeAbortedError, RuntimeUnavailableError
from rnn_deploy.runtimes.base import (
    RunOptions,
    Shapes,
    artifact_for,
    not_loaded,
    refuse_if_unavailable,
    refuse_provider_options,
    refuse_session_settings,
)
from rnn_deploy.runtimes.feeds import check_vocabulary, checker, closed, refused_by
from rnn_deploy.runtimes.ort_web.description import (
    MODEL,
    WEIGHTS,
    description,
    unsupported_dtypes,
)
from rnn_deploy.runtimes.ort_web.npm_package import (
    PACKAGE,
    VERSION,
    cache_folder,
    cached_files,
)
from rnn_deploy.spec import Array, EntryPoint

NODE = "node"
SECONDS_TO_END = 10


class NodeRunner:
    """An entry point in a Node process."""

    def __init__(self, entry: EntryPoint, process: "subprocess.Popen[str]", folder: Path) -> None:
        self.entry = entry
        self._process, self._folder = process, folder
        self._lock = threading.Lock()
        self._check = checker(entry)
        self._states = {state.tensor.name for state in entry.states}

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return every output and final state by name."""
        names = [tensor.name for tensor in self.entry.all_inputs]
        named = dict(zip(names, self._check(feeds), strict=True))
        check_vocabulary(self.entry, named)
        message = {
            "feeds": {n: _packed(v) for n, v in named.items() if n not in self._states},
            "states": {n: _packed(v) for n, v in named.items() if n in self._states},
        }
        with self._lock:
            try:
                answer = ask(self._process, message)
            except RuntimeAbortedError:
                if self._check is closed:  # another thread has closed it since the check
                    closed(None)
                raise
        if "error" in answer:
            raise refused_by(PACKAGE, RuntimeError(answer["error"]))
        found = {t.name: _unpacked(answer["outputs"][t.name], t.dtype) for t in self.entry.outputs}
        for state in self.entry.states:
            value = answer["states"][state.tensor.name]
            found[state.next_name] = _unpacked(value, state.tensor.dtype)
        return found

    def close(self) -> None:
        """End the process."""
        self._check = closed
        self._process.kill()  # ends a call of another thread, which has the lock
        with self._lock:
            end(self._process)
        shutil.rmtree(self._folder, ignore_errors=True)


@dataclass(frozen=True)
class OrtWebRuntime:
    """onnxruntime-web under Node.js."""

    name: str = "ort-web"
    format: str = "onnx"

    def version(self) -> str | None:
        """Return the version of onnxruntime-web, None if it is not in the cache."""
        return None if cached_files() is None else VERSION

    def why_unavailable(self) -> str | None:
        """Return why this runtime cannot be used here, None if it can."""
        if shutil.which(NODE) is None:
            return "Node.js is not installed (program 'node'); install version 18 or newer"
        if cached_files() is None:
            return (
                f"{PACKAGE} {VERSION} is not in the cache; `rnn-deploy package BUNDLE --for web`"
                " downloads it"
            )
        return None

    def file_of(self, bundle: Bundle, options: RunOptions, shapes: Shapes) -> str:
        """Return the file that runs every call."""
        return artifact_for(bundle, self.format, options).path

    def load(self, bundle: Bundle, options: RunOptions) -> NodeRunner:
        """Load an entry point; raise RuntimeUnavailableError if onnxruntime-web refuses it."""
        refuse_if_unavailable(self)
        refuse_provider_options(self.name, options)
        refuse_session_settings(self.name, options)
        if options.threads not in (None, 1):
            raise InputError(
                "E-OPTION-THREADS", "ort-web runs in one thread; remove --threads, or give 1"
            )
        artifact = artifact_for(bundle, self.format, options)
        entry = bundle.manifest.entry(options.entry)
        for tensor in unsupported_dtypes(entry):
            raise RuntimeUnavailableError(
                "E-RUNTIME-LOAD",
                f"runtime '{self.name}': '{tensor.name}' is {tensor.dtype}, for which JavaScript"
                " has no arrays",
            )
        folder = Path(tempfile.mkdtemp(prefix="rnn-deploy-ort-web-"))
        process = None
        try:
            _write_model(bundle, entry, artifact, folder)
            process = started(folder)
            answer = answer_of(process)
            if "error" in answer:
                raise not_loaded(self, bundle.root / artifact.path, ValueError(answer["error"]))
        except BaseException:
            if process is not None:
                end(process)
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return NodeRunner(entry, process, folder)


def _write_model(bundle: Bundle, entry: EntryPoint, artifact: Artifact, folder: Path) -> None:
    facts = description(bundle, entry, artifact)
    (folder / "model.json").write_text(json.dumps(facts), encoding="utf-8")
    (folder / MODEL).write_bytes(bundle.read(artifact.path))
    if artifact.weights is not None:
        (folder / WEIGHTS).write_bytes(bundle.read(artifact.weights))


def started(folder: Path) -> "subprocess.Popen[str]":
    """Start Node with the model in a folder; its first answer reports whether loading succeeded."""
    with as_file(files("rnn_deploy.runtimes.ort_web").joinpath("js")) as modules:
        return subprocess.Popen(
            [NODE, str(modules / "node-server.mjs"), str(modules), str(cache_folder()), folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, encoding="utf-8",
        )  # fmt: skip


def ask(process: "subprocess.Popen[str]", message: Mapping[str, Any]) -> dict[str, Any]:
    """Send one line and return the answer; raise RuntimeAbortedError if the process has ended."""
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()
    except (OSError, ValueError) as error:
        raise _aborted() from error
    return answer_of(process)


def answer_of(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Return the next answer of the process."""
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
    except ValueError as error:  # the pipe is closed
        raise _aborted() from error
    if not line.endswith("\n"):  # it ended while it wrote, or before
        raise _aborted()
    answer: dict[str, Any] = json.loads(line)
    return answer


def end(process: "subprocess.Popen[str]") -> None:
    """End the process and close its pipes."""
    process.kill()
    process.wait(SECONDS_TO_END)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # input that it had not read is lost, as intended


def _aborted() -> RuntimeAbortedError:
    return RuntimeAbortedError("E-RUNTIME-FAILED", "runtime 'ort-web': its Node process ended")


def _packed(value: Array) -> dict[str, Any]:
    ordered = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
    data = base64.b64encode(ordered.tobytes()).decode()
    return {"dtype": value.dtype.name, "shape": list(value.shape), "data": data}


def _unpacked(value: Mapping[str, Any], dtype: str) -> Array:
    content = base64.b64decode(value["data"])
    found = np.frombuffer(content, np.dtype(dtype).newbyteorder("<"))
    return found.astype(dtype).reshape(value["shape"])
