"""What a runtime is: something that loads one entry point of a bundle into a Runner.

Runners are pure: states are data that goes in and comes out, nothing is kept between calls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol, runtime_checkable

from rnn_deploy.bundle import Artifact, Bundle
from rnn_deploy.errors import InputError
from rnn_deploy.spec import SEQUENCE, STEP, STREAM, Array, EntryPoint

MOST_THREADS = 256
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class RunOptions:
    """How to load. threads: None leaves it to the runtime. provider: the provider's own options.

    artifact: the path of a variant, None for the usual one. session: settings of ONNX Runtime's
    session, as a plan has them (`onnxruntime.SETTINGS`). step_form: whether single steps of a
    stream may be run by the form that the bundle has for them.

    InputError for a number of threads that is none or that would exhaust the machine: a runtime
    starts as many as it is told.
    """

    entry: str = SEQUENCE
    threads: int | None = None
    provider: tuple[tuple[str, str], ...] = ()
    artifact: str | None = None
    session: tuple[tuple[str, str], ...] = ()
    step_form: bool = True

    def __post_init__(self) -> None:
        if self.threads is not None and not 1 <= self.threads <= MOST_THREADS:
            raise InputError(f"{self.threads} threads; give 1 to {MOST_THREADS}, or leave it out")


class Runner(Protocol):
    """One loaded entry point.

    run: every input by name (initial states may be left out: zero); every output and final
    state by name. Raises InputError for feeds that do not fit.
    """

    @property
    def entry(self) -> EntryPoint: ...

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]: ...

    def close(self) -> None: ...


class BoundRunner(Protocol):
    """A runner on memory of its own, for one set of shapes: there the states stay between steps.

    takes: whether arrays in the order of the inputs have those shapes. step: their outputs in
    order; after an InputError the states are as before. states: by input name, a copy.
    """

    @property
    def states(self) -> dict[str, Array]: ...

    @states.setter
    def states(self, states: Mapping[str, Array]) -> None: ...

    def takes(self, arrays: Sequence[object]) -> bool: ...

    def step(self, arrays: Sequence[Array]) -> list[Array]: ...


@runtime_checkable
class BindableRunner(Protocol):
    """A runner that can be bound to the shapes of every input, output and state input by name."""

    def bound(self, shapes: Shapes) -> BoundRunner | None: ...


class Runtime(Protocol):
    """What executes artifacts of one format, by a stable name."""

    @property
    def name(self) -> str: ...

    @property
    def format(self) -> str: ...

    def version(self) -> str | None:
        """The version installed, None if it is not."""

    def why_unavailable(self) -> str | None:
        """Why this runtime cannot be used here, None if it can."""

    def load(self, bundle: Bundle, options: RunOptions) -> Runner:
        """Load an entry point; RuntimeUnavailableError when this runtime is not here."""


@runtime_checkable
class ReportsFiles(Protocol):
    """A runtime that says which file of a bundle a call is run by, where that may be one of two.

    shapes: of every input by name.
    """

    def file_of(self, bundle: Bundle, options: RunOptions, shapes: Shapes) -> str: ...


def artifact_for(bundle: Bundle, format: str, options: RunOptions) -> Artifact:
    """The artifact to load; InputError when the bundle has none of that format."""
    found = bundle.manifest.artifact(format, options.entry)
    if options.artifact is not None:
        variants = (a for a in bundle.manifest.artifacts if a.path == options.artifact)
        found = next((a for a in variants if (a.format, a.entry) == (format, options.entry)), None)
    if found is None:
        name = {"onnx": "ONNX", "tflite": "TFLite"}.get(format, format)
        what = f"{name} artifact" + (f" '{options.artifact}'" if options.artifact else "")
        raise InputError(f"{bundle.root}: holds no {what}; export with --to {format}")
    return found


def step_beside(bundle: Bundle, artifact: Artifact) -> Artifact | None:
    """The form for one step of a stream's artifact, where the bundle has one in its folder."""
    if artifact.entry != STREAM:
        return None
    folder = PurePosixPath(artifact.path).parent
    steps = (a for a in bundle.manifest.artifacts if (a.format, a.entry) == (artifact.format, STEP))
    return next((step for step in steps if PurePosixPath(step.path).parent == folder), None)


def no_session_settings(runtime: str, options: RunOptions) -> None:
    """InputError when a runtime other than ONNX Runtime gets settings of its session."""
    if options.session:
        raise InputError(f"{runtime} has no session settings; tune the bundle again")


def why_wrong(bundle: Bundle, runtime: Runtime) -> str | None:
    """Why `runtime` is known to get this bundle wrong, as was written down on export."""
    entries = [entry.name for entry in bundle.manifest.entries]
    usual = (bundle.manifest.artifact(runtime.format, entry) for entry in entries)
    reasons = (artifact_wrong_on(artifact, runtime.name) for artifact in usual if artifact)
    return next(filter(None, reasons), None)


def artifact_wrong_on(artifact: Artifact, runtime: str) -> str | None:
    """Why a runtime is known to get an artifact wrong."""
    for choice in artifact.choices:
        if runtime in choice.not_on:
            return (
                f"it gets layer '{choice.layer}' as {choice.lowering} wrong; export with"
                " --profile openvino, or choose another runtime"
            )
    return None
