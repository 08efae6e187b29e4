"""What a runtime is: something that loads one entry point of a bundle into a Runner.

Runners are pure: states are data that goes in and comes out, nothing is kept between calls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import InputError
from rnn_deploy.spec import SEQUENCE, Array, EntryPoint

MOST_THREADS = 256


@dataclass(frozen=True)
class RunOptions:
    """How to load. threads: None leaves it to the runtime. provider: the provider's own options.

    InputError for a number of threads that is none or that would exhaust the machine: a runtime
    starts as many as it is told.
    """

    entry: str = SEQUENCE
    threads: int | None = None
    provider: tuple[tuple[str, str], ...] = ()

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


class Bound(Protocol):
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
class Binds(Protocol):
    """A runner that can be bound to the shapes of every input, output and state input by name."""

    def bound(self, shapes: Mapping[str, tuple[int, ...]]) -> Bound | None: ...


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


def why_wrong(bundle: Bundle, runtime: Runtime) -> str | None:
    """Why `runtime` is known to get this bundle wrong, as was written down on export."""
    for artifact in bundle.manifest.artifacts:
        for choice in artifact.choices if artifact.format == runtime.format else ():
            if runtime.name in choice.not_on:
                return (
                    f"it gets layer '{choice.layer}' as {choice.lowering} wrong; export with"
                    " --target openvino, or choose another runtime"
                )
    return None
