"""ONNX Runtime, on the CPU (`ort-cpu`) and on CUDA (`ort-cuda`).

If ONNX Runtime cannot start a provider, or cannot run a single node on it, it uses the CPU and only
writes a log line. Here both are errors: a provider that did not start, and any misplaced node
(`placement`), which one run under the profiler finds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any

from rnn_deploy.bundle import Bundle, cases_of
from rnn_deploy.errors import BundleError, MisplacedError, RuntimeUnavailableError
from rnn_deploy.optional import installed_version, is_installed, pip_line, require
from rnn_deploy.runtimes.base import (
    TUNE_AGAIN,
    Runner,
    RunOptions,
    Shapes,
    artifact_for,
    not_loaded,
    refuse_if_unavailable,
    refuse_provider_options,
    step_beside,
)
from rnn_deploy.runtimes.binding import OrtBound
from rnn_deploy.runtimes.feeds import check_vocabulary, checker, closed, refused_by
from rnn_deploy.runtimes.machine import cores
from rnn_deploy.runtimes.onnx_file import OnnxFile, ort_session, read_onnx
from rnn_deploy.runtimes.placement import NodePlacement, misplaced, run_profiled
from rnn_deploy.runtimes.split import SplitBatchRunner
from rnn_deploy.spec import Array, EntryPoint

CPU = "CPUExecutionProvider"
# Settings of a session that differ from ONNX Runtime's defaults.
SETTINGS = {"spinning": ("off",), "arena": ("off",), "optimisation": ("basic",)}
SPLIT = ("batch", "split")  # not a setting of the session: parts of the batch run side by side
MOST_NAMED = 10  # misplaced nodes that a message lists
PACKAGES = ("onnxruntime", "onnxruntime-gpu")


class OrtRunner:
    """An entry point in an ONNX Runtime session.

    step: loads the session of the bundle's file for one step, if it has one. It is loaded at the
    first call that it can run, and runs all such calls.
    """

    def __init__(
        self, entry: EntryPoint, session: Any, step: Callable[[], Any] | None = None
    ) -> None:
        self.entry = entry
        self._session, self._step_session = session, None
        self._load_step = step
        self._check = checker(entry)
        self._tokens = any(tensor.below is not None for tensor in entry.inputs)
        self._inputs = [tensor.name for tensor in entry.all_inputs]
        self._outputs = [tensor.name for tensor in entry.all_outputs]
        self._timed = self._inputs.index(entry.timed) if step is not None else None

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return every output and final state by name."""
        arrays = self._check(feeds)
        named = dict(zip(self._inputs, arrays, strict=True))
        if self._tokens:  # operators of tf2onnx wrap some ids into the range
            check_vocabulary(self.entry, named)
        session = self._session
        if self._timed is not None and arrays[self._timed].shape[1] == 1:
            session = self._step()
        if session is None:  # another thread has closed it since the check
            closed(None)
        try:
            results = session.run(self._outputs, named)
        except Exception as error:  # onnxruntime's exceptions have no common base class
            raise refused_by("ONNX Runtime", error) from error
        return dict(zip(self._outputs, results, strict=True))

    def bound(self, shapes: Mapping[str, tuple[int, ...]]) -> OrtBound | None:
        """Bind the session to its own memory; None on a device with another memory."""
        if self._session is None:
            closed(None)
        if self._session.get_providers()[0] != CPU:
            return None
        one = self._timed is not None and shapes[self._inputs[self._timed]][1] == 1
        return OrtBound(self._step() if one else self._session, self.entry, shapes)

    def _step(self) -> Any:
        session = self._step_session
        if session is None and self._session is not None:
            assert self._load_step is not None
            session = self._step_session = self._load_step()
        return session

    def close(self) -> None:
        """Release the session."""
        self._check = closed
        self._session = self._step_session = None


@dataclass(frozen=True)
class OrtRuntime:
    """ONNX Runtime with one execution provider."""

    name: str
    provider: str
    format: str = "onnx"

    def version(self) -> str | None:
        """Return the installed version, None if it is not installed."""
        return next(filter(None, map(installed_version, PACKAGES)), None)

    def why_unavailable(self) -> str | None:
        """Return why this runtime cannot be used here, None if it can."""
        if not is_installed("onnxruntime"):
            package = "onnxruntime" if self.provider == CPU else "onnxruntime-gpu"
            return f"{package} is not installed; {pip_line(package)}"
        there = require("onnxruntime").get_available_providers()
        if self.provider in there:
            return None
        return (
            f"this onnxruntime has no {self.provider}, only {', '.join(there)};"
            f" {pip_line('onnxruntime-gpu')} in place of onnxruntime, on a machine with CUDA"
        )

    def load(self, bundle: Bundle, options: RunOptions) -> Runner:
        """Load an entry point; raise RuntimeUnavailableError if the provider does not take it."""
        if SPLIT not in options.session:
            return self._runner(bundle, options)
        rest = tuple(setting for setting in options.session if setting != SPLIT)
        parts = options.threads or cores()
        return SplitBatchRunner(
            self._runner(bundle, replace(options, threads=1, session=rest)), parts
        )

    def _runner(self, bundle: Bundle, options: RunOptions) -> OrtRunner:
        refuse_if_unavailable(self)
        if self.provider == CPU:
            refuse_provider_options(self.name, options)
        entry = bundle.manifest.entry(options.entry)
        artifact = artifact_for(bundle, self.format, options)
        session = self._session(read_onnx(bundle, artifact), options)
        if self.provider != CPU:
            self._prove_placement(bundle, options)
            return OrtRunner(entry, session)  # the file for one step is faster only on the CPU
        one = step_beside(bundle, artifact)
        if one is None or not options.step_form:
            return OrtRunner(entry, session)
        file = read_onnx(bundle, one)
        if not file.external:
            return OrtRunner(entry, session, partial(self._session, file, options))
        # Do not keep large weights in memory for a session that may never be needed.
        return OrtRunner(entry, session, lambda: self._session(read_onnx(bundle, one), options))

    def _session(self, file: OnnxFile, options: RunOptions, **extra: Any) -> Any:
        ort = require("onnxruntime")
        settings = ort.SessionOptions()
        settings.log_severity_level = 3
        if options.threads is not None:
            settings.intra_op_num_threads = options.threads
        for setting, chosen in options.session:
            _set(ort, settings, setting, chosen)
        for name, value in extra.items():
            setattr(settings, name, value)
        providers = [(self.provider, dict(options.provider))]
        try:
            session = ort_session(ort, file, settings, providers=providers)
        except Exception as error:  # onnxruntime's exceptions have no common base class
            raise not_loaded(self, file.path, error) from error
        if self.provider not in session.get_providers():
            raise RuntimeUnavailableError(
                "E-RUNTIME-NOT-STARTED",
                f"runtime '{self.name}': {self.provider} did not start, and ONNX Runtime would run"
                " on the CPU instead; check the driver, CUDA and cuDNN, or use --runtime ort-cpu",
            )
        return session

    def file_of(self, bundle: Bundle, options: RunOptions, shapes: Shapes) -> str:
        """Return the file that runs a call with inputs of these shapes."""
        artifact = artifact_for(bundle, self.format, options)
        one = step_beside(bundle, artifact) if self.provider == CPU else None
        if one is None or not options.step_form:
            return artifact.path
        timed = bundle.manifest.entry(options.entry).timed
        return one.path if shapes[timed][1] == 1 else artifact.path

    def placements(self, bundle: Bundle, options: RunOptions) -> list[NodePlacement] | None:
        """Return every node that ran on a golden vector and where, from ONNX Runtime's profile."""
        if bundle.manifest.artifact(self.format, options.entry) is None:
            return None
        file = read_onnx(bundle, artifact_for(bundle, self.format, options))
        session = partial(self._session, file, options)
        return run_profiled(session, _golden_feeds(bundle, bundle.manifest.entry(options.entry)))

    def _prove_placement(self, bundle: Bundle, options: RunOptions) -> None:
        nodes = self.placements(bundle, options)
        if not nodes:
            raise RuntimeUnavailableError(
                "E-PLACEMENT-UNKNOWN",
                f"runtime '{self.name}': ONNX Runtime's profile names no node, so their placement"
                " is unknown; choose --runtime ort-cpu",
            )
        elsewhere = misplaced(nodes, self.provider)
        if elsewhere:
            named = ", ".join(map(str, elsewhere[:MOST_NAMED]))
            more = f" and {len(elsewhere) - MOST_NAMED} more" * (len(elsewhere) > MOST_NAMED)
            raise MisplacedError(
                "E-PLACEMENT-MISPLACED",
                f"runtime '{self.name}': expected the nodes of '{options.entry}' on {self.provider}"
                f" except shape arithmetic, got {named}{more}; export with another --lowering, or"
                " choose --runtime ort-cpu",
            )


def _set(ort: ModuleType, settings: Any, setting: str, value: str) -> None:
    """Apply one of SETTINGS; raise BundleError for any other."""
    if value not in SETTINGS.get(setting, ()):
        raise BundleError("E-BUNDLE-PLAN", f"unknown setting {setting}={value}; {TUNE_AGAIN}")
    if setting == "spinning":
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    elif setting == "arena":
        settings.enable_cpu_mem_arena = False
    else:
        settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC


def _golden_feeds(bundle: Bundle, entry: EntryPoint) -> dict[str, Array]:
    """Return inputs on which the model is known to run."""
    cases = cases_of(bundle)
    case = next((case for case in cases if entry.name in case.entries), None)
    if case is None:
        raise BundleError(
            "E-BUNDLE-NO-GOLDEN", f"{bundle.root} has no golden vector for '{entry.name}'"
        )
    names = (tensor.name for tensor in entry.all_inputs)
    return dict(zip(names, checker(entry)(case.feeds), strict=True))
