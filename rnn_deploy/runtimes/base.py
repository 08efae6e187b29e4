"""The interface of a runtime, which loads one entry point of a bundle into a Runner.

Runners are pure: states are inputs and outputs; a runner keeps nothing between calls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol, runtime_checkable

from rnn_deploy.bundle import Artifact, Bundle
from rnn_deploy.errors import BundleError, InputError, RuntimeUnavailableError, one_line
from rnn_deploy.spec import SEQUENCE, STEP, STREAM, Array, EntryPoint

MOST_THREADS = 256
TUNE_AGAIN = "tune the bundle again: rnn-deploy tune"
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class RunOptions:
    """The options for loading an entry point.

    threads: within an operator; None lets the runtime choose. provider: options of the execution
    provider. artifact: the path of a variant, None for the usual file. session: settings of ONNX
    Runtime's session, as in a plan (`onnxruntime.SETTINGS`). step_form: whether the bundle's file
    for one step may run single steps of a stream.

    Raises InputError for fewer threads than 1, and for so many that they would exhaust the machine.
    """

    entry: str = SEQUENCE
    threads: int | None = None
    provider: tuple[tuple[str, str], ...] = ()
    artifact: str | None = None
    session: tuple[tuple[str, str], ...] = ()
    step_form: bool = True

    def __post_init__(self) -> None:
        if self.threads is not None and not 1 <= self.threads <= MOST_THREADS:
            raise InputError(
                "E-OPTION-THREADS", f"expected 1 to {MOST_THREADS} threads, got {self.threads}"
            )


class Runner(Protocol):
    """One loaded entry point.

    run: takes every input by name (initial states default to zero), returns every output and
    final state by name. Raises InputError for inputs that do not fit.
    """

    @property
    def entry(self) -> EntryPoint: ...

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]: ...

    def close(self) -> None: ...


class BoundRunner(Protocol):
    """A runner with its own memory for one set of shapes, which keeps the states between steps.

    takes: whether arrays in the order of the inputs have those shapes. step: returns the outputs
    in order; after an InputError the states are as before. states: by input name, a copy.
    """

    @property
    def states(self) -> dict[str, Array]: ...

    @states.setter
    def states(self, states: Mapping[str, Array]) -> None: ...

    def takes(self, arrays: Sequence[object]) -> bool: ...

    def step(self, arrays: Sequence[Array]) -> list[Array]: ...


@runtime_checkable
class BindableRunner(Protocol):
    """A runner that can be bound to shapes, given for every input, output and state input."""

    def bound(self, shapes: Shapes) -> BoundRunner | None: ...


class Runtime(Protocol):
    """A runtime executes artifacts of one format; its name is stable."""

    @property
    def name(self) -> str: ...

    @property
    def format(self) -> str: ...

    def version(self) -> str | None:
        """Return the installed version, None if it is not installed."""

    def why_unavailable(self) -> str | None:
        """Return why this runtime cannot be used here, None if it can."""

    def load(self, bundle: Bundle, options: RunOptions) -> Runner:
        """Load an entry point; raise RuntimeUnavailableError if the runtime is unavailable."""


@runtime_checkable
class ReportsFiles(Protocol):
    """A runtime that reports which file of a bundle runs a call with inputs of these shapes."""

    def file_of(self, bundle: Bundle, options: RunOptions, shapes: Shapes) -> str: ...


def artifact_for(bundle: Bundle, format: str, options: RunOptions) -> Artifact:
    """Return the artifact to load; raise InputError if the bundle has none of that format."""
    found = bundle.manifest.artifact(format, options.entry)
    if options.artifact is not None:
        variants = (a for a in bundle.manifest.artifacts if a.path == options.artifact)
        found = next((a for a in variants if (a.format, a.entry) == (format, options.entry)), None)
    if found is None:
        name = {"onnx": "ONNX", "tflite": "TFLite"}.get(format, format)
        what = f"{name} artifact" + (f" '{options.artifact}'" if options.artifact else "")
        raise InputError(
            "E-BUNDLE-NO-ARTIFACT", f"{bundle.root} has no {what}; export it with --to {format}"
        )
    return found


def step_beside(bundle: Bundle, artifact: Artifact) -> Artifact | None:
    """Return the file for one step that belongs to a stream's artifact, or None."""
    if artifact.entry != STREAM:
        return None
    folder = PurePosixPath(artifact.path).parent
    steps = (a for a in bundle.manifest.artifacts if (a.format, a.entry) == (artifact.format, STEP))
    return next((step for step in steps if PurePosixPath(step.path).parent == folder), None)


def refuse_if_unavailable(runtime: Runtime) -> None:
    """Raise RuntimeUnavailableError if a runtime cannot be used here."""
    why = runtime.why_unavailable()
    if why is not None:
        raise RuntimeUnavailableError("E-RUNTIME-UNAVAILABLE", f"runtime '{runtime.name}': {why}")


def not_loaded(runtime: Runtime, path: object, error: Exception) -> RuntimeUnavailableError:
    """Return the error for a file that a runtime could not load."""
    return RuntimeUnavailableError(
        "E-RUNTIME-LOAD", f"runtime '{runtime.name}' did not load {path}: {one_line(error)}"
    )


def refuse_session_settings(runtime: str, options: RunOptions) -> None:
    """Raise InputError for settings of ONNX Runtime's session on another runtime."""
    if options.session:
        raise BundleError("E-BUNDLE-PLAN", f"{runtime} has no session settings; {TUNE_AGAIN}")


def refuse_provider_options(runtime: str, options: RunOptions) -> None:
    """Raise InputError for provider options on a runtime without any."""
    if options.provider:
        name = options.provider[0][0]
        raise InputError(
            "E-OPTION-PROVIDER",
            f"--option {name}: {runtime} has no provider options; remove --option",
        )


def why_wrong(bundle: Bundle, runtime: Runtime) -> str | None:
    """Return why `runtime` is known to compute this bundle wrongly, according to the export."""
    entries = [entry.name for entry in bundle.manifest.entries]
    usual = (bundle.manifest.artifact(runtime.format, entry) for entry in entries)
    reasons = (artifact_wrong_on(artifact, runtime.name) for artifact in usual if artifact)
    return next(filter(None, reasons), None)


def artifact_wrong_on(artifact: Artifact, runtime: str) -> str | None:
    """Return why a runtime is known to compute an artifact wrongly."""
    for choice in artifact.choices:
        if runtime in choice.not_on:
            return (
                f"it gets layer '{choice.layer}' as {choice.lowering} wrong; export with"
                " --profile openvino, or choose another runtime"
            )
    return None
