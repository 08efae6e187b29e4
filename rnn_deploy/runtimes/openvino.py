"""OpenVINO on the CPU (`openvino-cpu`), in float32.

Two defaults of OpenVINO are changed. It would compute in bfloat16 if the processor can, which is
not the model. And it would build one kernel ("snippet") from an attention's product, softmax and
product; after a call of one step this kernel is wrong from 16 steps on (2026.4, AVX-512).
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import InputError, RuntimeUnavailableError
from rnn_deploy.optional import installed_version, is_installed, pip_line, require
from rnn_deploy.runtimes.base import (
    RunOptions,
    Shapes,
    artifact_for,
    artifact_wrong_on,
    not_loaded,
    refuse_if_unavailable,
    refuse_session_settings,
)
from rnn_deploy.runtimes.feeds import check_vocabulary, checker, closed, refused_by
from rnn_deploy.runtimes.onnx_file import OnnxFile, read_onnx
from rnn_deploy.runtimes.placement import NodePlacement
from rnn_deploy.spec import Array, EntryPoint

DEVICE = "CPU"
PRECISION = "INFERENCE_PRECISION_HINT"
NO_SNIPPETS = {"SNIPPETS_MODE": "DISABLE"}
# Compiled models that a runner still uses, so that `placements` examines the one that runs. To
# compile it again would take half the time of a small model's verification.
_IN_USE: WeakValueDictionary[tuple[object, ...], Any] = WeakValueDictionary()


class OpenVinoRunner:
    """An entry point in a compiled OpenVINO model."""

    def __init__(self, entry: EntryPoint, compiled: Any) -> None:
        self.entry = entry
        self._compiled = compiled
        self._request = compiled.create_infer_request()
        self._lock = threading.Lock()  # a request can run one call at a time
        self._check = checker(entry)
        self._inputs = [_port(compiled.inputs, tensor.name) for tensor in entry.all_inputs]
        self._outputs = [
            (tensor.name, _port(compiled.outputs, tensor.name)) for tensor in entry.all_outputs
        ]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return every output and final state by name."""
        arrays = self._check(feeds)
        names = (tensor.name for tensor in self.entry.all_inputs)
        named = dict(zip(names, arrays, strict=True))
        check_vocabulary(self.entry, named)
        _check_range(named)
        # OpenVINO ignores the strides of an array, so its memory must be contiguous.
        packed = {i: np.ascontiguousarray(a) for i, a in zip(self._inputs, arrays, strict=True)}
        with self._lock:
            if self._request is None:  # another thread has closed it since the check
                closed(None)
            try:
                self._request.infer(packed)
            except RuntimeError as error:
                raise refused_by("OpenVINO", error) from error
            # The next run overwrites the request's own memory.
            return {n: self._request.get_output_tensor(i).data.copy() for n, i in self._outputs}

    def close(self) -> None:
        """Release the compiled model."""
        self._check = closed
        with self._lock:
            self._request = self._compiled = None


@dataclass(frozen=True)
class OpenVinoRuntime:
    """OpenVINO's CPU plugin. provider: the requested device."""

    name: str = "openvino-cpu"
    format: str = "onnx"
    provider: str = DEVICE

    def version(self) -> str | None:
        """Return the installed version, None if it is not installed."""
        return installed_version("openvino")

    def why_unavailable(self) -> str | None:
        """Return why this runtime cannot be used here, None if it can."""
        if is_installed("openvino"):
            return None
        return f"openvino is not installed; {pip_line('openvino')}"

    def load(self, bundle: Bundle, options: RunOptions) -> OpenVinoRunner:
        """Load an entry point; raise RuntimeUnavailableError if OpenVINO does not take it."""
        return OpenVinoRunner(bundle.manifest.entry(options.entry), self._compiled(bundle, options))

    def file_of(self, bundle: Bundle, options: RunOptions, shapes: Shapes) -> str:
        """Return the file that runs every call."""
        return artifact_for(bundle, self.format, options).path

    def placements(self, bundle: Bundle, options: RunOptions) -> list[NodePlacement] | None:
        """Return every node of OpenVINO's compiled graph of an entry point, and its device."""
        if bundle.manifest.artifact(self.format, options.entry) is None:
            return None
        compiled = self._compiled(bundle, options)
        device = " ".join(compiled.get_property("EXECUTION_DEVICES"))
        nodes = compiled.get_runtime_model().get_ops()
        return [
            NodePlacement(
                node.get_friendly_name(), node.get_rt_info()["layerType"].astype(str), device
            )
            for node in nodes
            if "layerType" in node.get_rt_info()
        ]

    def _compiled(self, bundle: Bundle, options: RunOptions) -> Any:
        artifact = artifact_for(bundle, self.format, options)
        refuse_if_unavailable(self)
        why = artifact_wrong_on(artifact, self.name)
        if why is not None:
            raise RuntimeUnavailableError("E-RUNTIME-WRONG", f"runtime '{self.name}': {why}")
        refuse_session_settings(self.name, options)
        file = read_onnx(bundle, artifact)
        key = (bundle.digest, str(file.path), options.threads, options.provider)
        if key in _IN_USE:
            return _IN_USE[key]
        core = require("openvino").Core()
        try:
            compiled = _compile(core, file, _properties(core, options))
        except RuntimeError as error:
            raise not_loaded(self, file.path, error) from error
        _IN_USE[key] = compiled
        return compiled


def _compile(core: Any, file: OnnxFile, properties: dict[str, Any]) -> Any:
    if not file.external:
        return core.compile_model(core.read_model(file.content), DEVICE, properties)
    with file.copied() as path:
        return core.compile_model(path, DEVICE, properties)


def _properties(core: ModuleType, options: RunOptions) -> dict[str, Any]:
    known = core.get_property(DEVICE, "SUPPORTED_PROPERTIES")
    unknown = [name for name, _ in options.provider if name not in known]
    if unknown:
        raise InputError(
            "E-OPTION-PROVIDER",
            f"--option {unknown[0]}: expected one of openvino-cpu's {', '.join(sorted(known))}",
        )
    threads = {} if options.threads is None else {"INFERENCE_NUM_THREADS": options.threads}
    return {PRECISION: "f32", **NO_SNIPPETS, **threads, **dict(options.provider)}


def _check_range(feeds: Mapping[str, Array]) -> None:
    """Raise InputError for integers that OpenVINO would clip silently."""
    for name, value in feeds.items():
        if value.dtype == np.int64 and not np.array_equal(value, value.astype(np.int32)):
            raise InputError(
                "E-INPUT-RANGE",
                f"input '{name}' has int64 values beyond 32 bits, and openvino-cpu computes with"
                " 32 bits; choose another runtime",
            )


def _port(ports: Any, name: str) -> int:
    """Return the position of a tensor; one port may have several names."""
    return next(i for i, port in enumerate(ports) if name in port.get_names())
