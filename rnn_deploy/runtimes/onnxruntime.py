"""ONNX Runtime, on the CPU (`ort-cpu`) and on CUDA (`ort-cuda`).

ONNX Runtime falls back to the CPU with no more than a log line, for a provider it cannot start
and for single nodes. Here both are errors: a provider that did not start, and a recurrent node
that was placed elsewhere, found by running once under its profiler.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from rnn_deploy.bundle import Bundle, cases_of
from rnn_deploy.errors import (
    BundleError,
    InputError,
    MisplacedError,
    RuntimeUnavailableError,
    one_line,
)
from rnn_deploy.optional import installed_version, is_installed, pip_line, require
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.binding import OrtBound
from rnn_deploy.runtimes.feeds import checker, vocabulary_faults
from rnn_deploy.runtimes.placement import Placement, misplaced, run_profiled
from rnn_deploy.spec import Array, EntryPoint

CPU = "CPUExecutionProvider"
PACKAGES = ("onnxruntime", "onnxruntime-gpu")


class OrtRunner:
    """An entry point in an ONNX Runtime session."""

    def __init__(self, entry: EntryPoint, session: Any) -> None:
        self.entry = entry
        self._session = session
        self._run = session.run
        self._check = checker(entry)
        self._inputs = [tensor.name for tensor in entry.all_inputs]
        self._outputs = [tensor.name for tensor in entry.all_outputs]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Every output and final state by name."""
        named = dict(zip(self._inputs, self._check(feeds), strict=True))
        fault = vocabulary_faults(self.entry, named)  # some of them tf2onnx wraps into range
        if fault is not None:
            raise InputError(fault)
        try:
            results = self._run(self._outputs, named)
        except Exception as error:  # onnxruntime's exceptions have no common base of their own
            raise InputError(f"ONNX Runtime refused the inputs: {one_line(error)}") from error
        return dict(zip(self._outputs, results, strict=True))

    def bound(self, shapes: Mapping[str, tuple[int, ...]]) -> OrtBound | None:
        """Bound to memory of its own; None on a device, whose memory this is not."""
        if self._session.get_providers()[0] != CPU:
            return None
        return OrtBound(self._session, self.entry, shapes)

    def close(self) -> None:
        """Release the session."""
        self._session = self._run = None


@dataclass(frozen=True)
class OrtRuntime:
    """ONNX Runtime with one execution provider."""

    name: str
    provider: str
    format: str = "onnx"

    def version(self) -> str | None:
        """The version installed, None if it is not."""
        return next(filter(None, map(installed_version, PACKAGES)), None)

    def why_unavailable(self) -> str | None:
        """Why this runtime cannot be used here, None if it can."""
        if not is_installed("onnxruntime"):
            return f"onnxruntime is not installed; {pip_line('onnxruntime')}"
        there = require("onnxruntime").get_available_providers()
        if self.provider in there:
            return None
        return (
            f"this onnxruntime has no {self.provider}, only {', '.join(there)};"
            " pip install 'rnn-deploy[ort-gpu]' in place of onnxruntime, on a machine with CUDA"
        )

    def load(self, bundle: Bundle, options: RunOptions) -> OrtRunner:
        """Load an entry point; RuntimeUnavailableError if the provider does not take it."""
        why = self.why_unavailable()
        if why is not None:
            raise RuntimeUnavailableError(f"runtime '{self.name}': {why}")
        if options.provider and self.provider == CPU:
            raise InputError(f"{self.name} has no provider options; leave --option out")
        artifact = bundle.manifest.artifact(self.format, options.entry)
        entry = bundle.manifest.entry(options.entry)
        if artifact is None:
            raise InputError(f"{bundle.root}: holds no ONNX artifact; export with --to onnx")
        if artifact.weights is not None:
            bundle.checked(artifact.weights)
        path = str(bundle.checked(artifact.path))
        session = self._session(require("onnxruntime"), path, options)
        runner = OrtRunner(entry, session)
        if self.provider != CPU:
            self._prove_placement(bundle, path, entry, options)
        return runner

    def _session(self, ort: ModuleType, path: str, options: RunOptions, **extra: Any) -> Any:
        settings = ort.SessionOptions()
        settings.log_severity_level = 3
        if options.threads is not None:
            settings.intra_op_num_threads = options.threads
        for name, value in extra.items():
            setattr(settings, name, value)
        providers = [(self.provider, dict(options.provider))]
        try:
            session = ort.InferenceSession(path, settings, providers=providers)
        except Exception as error:  # onnxruntime's exceptions have no common base of their own
            raise RuntimeUnavailableError(
                f"runtime '{self.name}': ONNX Runtime did not load {path}: {one_line(error)}"
            ) from error
        if self.provider not in session.get_providers():
            raise RuntimeUnavailableError(
                f"runtime '{self.name}': {self.provider} did not start and ONNX Runtime would run"
                " on the CPU instead; check the driver, CUDA and cuDNN, or choose --runtime ort-cpu"
            )
        return session

    def placements(self, bundle: Bundle, options: RunOptions) -> list[Placement] | None:
        """Every node that ran on a golden vector and where, from ONNX Runtime's profile."""
        artifact = bundle.manifest.artifact(self.format, options.entry)
        if artifact is None:
            return None
        path = str(bundle.checked(artifact.path))
        return self._placements(bundle, path, bundle.manifest.entry(options.entry), options)

    def _placements(
        self, bundle: Bundle, path: str, entry: EntryPoint, options: RunOptions
    ) -> list[Placement]:
        def session(**extra: Any) -> Any:
            return self._session(require("onnxruntime"), path, options, **extra)

        return run_profiled(session, _golden_feeds(bundle, entry))

    def _prove_placement(
        self, bundle: Bundle, path: str, entry: EntryPoint, options: RunOptions
    ) -> None:
        nodes = self._placements(bundle, path, entry, options)
        if not nodes:
            raise RuntimeUnavailableError(
                f"runtime '{self.name}': ONNX Runtime's profile names no node, so where they were"
                " placed cannot be known; choose --runtime ort-cpu"
            )
        elsewhere = misplaced(nodes, self.provider)
        if elsewhere:
            raise MisplacedError(
                f"runtime '{self.name}': ONNX Runtime placed recurrent nodes elsewhere:"
                f" {', '.join(map(str, elsewhere))}; export with another --lowering, or choose"
                " --runtime ort-cpu"
            )


def _golden_feeds(bundle: Bundle, entry: EntryPoint) -> dict[str, Array]:
    """Inputs that the model is known to run on."""
    cases = cases_of(bundle)
    case = next((case for case in cases if entry.name in case.entries), None)
    if case is None:
        raise BundleError(f"{bundle.root}: holds no golden vector for '{entry.name}'")
    names = (tensor.name for tensor in entry.all_inputs)
    return dict(zip(names, checker(entry)(case.feeds), strict=True))
