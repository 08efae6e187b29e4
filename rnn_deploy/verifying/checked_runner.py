"""A runner under verification: it must return complete results, and its model files are known.

Runner --checked_runner--> CheckedRunner --run--> results with every tensor in the right type
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import RnnDeployError, RuntimeAbortedError, one_line
from rnn_deploy.runtimes.base import (
    BindableRunner,
    BoundRunner,
    ReportsFiles,
    Runner,
    RunOptions,
    Runtime,
    Shapes,
)
from rnn_deploy.spec import Array, EntryPoint


class FilesRun:
    """The files that runners ran since the last `take`, each once, and the sizes of their calls."""

    def __init__(self) -> None:
        self._files: dict[str, None] = {}
        self._shapes: set[tuple[int, int]] = set()

    def note_shape(self, shape: tuple[int, int]) -> None:
        """Remember the rows and the steps of a call."""
        self._shapes.add(shape)

    def note(self, file: str) -> None:
        """Remember a file; an empty name is ignored."""
        if file:
            self._files[file] = None

    def take_shapes(self) -> set[tuple[int, int]]:
        """Return the rows and steps of the calls since the last `take_shapes`, each pair once."""
        shapes, self._shapes = self._shapes, set()
        return shapes

    def take(self) -> tuple[str, ...]:
        """Return the files so far, and forget them."""
        files, self._files = tuple(self._files), {}
        return files


class CheckedRunner:
    """A runner whose results must hold each output and final state in its type.

    Raises RnnDeployError for incomplete results: a tensor that is missing would not be compared.
    """

    def __init__(
        self, runner: Runner, file_of: Callable[[Shapes], str], files_run: FilesRun
    ) -> None:
        self.entry = runner.entry
        self._runner, self._file_of, self._files_run = runner, file_of, files_run
        self._dtypes = {t.name: t.dtype for t in runner.entry.all_outputs}

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return every output and final state by name."""
        shapes = {name: value.shape for name, value in feeds.items()}
        self._files_run.note(self._file_of(shapes))
        self._files_run.note_shape(_batch_and_steps(self.entry, shapes))
        with failures_as_errors():
            results = self._runner.run(feeds)
        for name, dtype in self._dtypes.items():
            if name not in results:
                raise RnnDeployError(
                    "E-VERIFY-MISSING-TENSOR",
                    f"the runtime returned no '{name}' for entry point '{self.entry.name}'",
                )
            actual = np.asarray(results[name]).dtype.name
            if actual != dtype:
                raise RnnDeployError(
                    "E-VERIFY-DTYPE",
                    f"the runtime returned '{name}' of entry point '{self.entry.name}' as"
                    f" {actual}, expected {dtype}",
                )
        return {name: results[name] for name in self._dtypes}

    def bound(self, shapes: Shapes) -> BoundRunner | None:
        """Return the runner bound to memory of its own; None if it cannot be bound."""
        self._files_run.note(self._file_of(shapes))
        if not isinstance(self._runner, BindableRunner):
            return None
        with failures_as_errors():
            bound = self._runner.bound(shapes)
        return None if bound is None else _CheckedBound(bound)

    def noting(self, files_run: FilesRun) -> "CheckedRunner":
        """Return the same runner, with its files noted in `files_run`."""
        return CheckedRunner(self._runner, self._file_of, files_run)

    def close(self) -> None:
        """Release the runner."""
        self._runner.close()


class _CheckedBound:
    """A bound runner that reports failures as RnnDeployErrors."""

    def __init__(self, bound: BoundRunner) -> None:
        self._bound = bound

    @property
    def states(self) -> dict[str, Array]:
        return self._bound.states

    @states.setter
    def states(self, states: Mapping[str, Array]) -> None:
        self._bound.states = states

    def takes(self, arrays: Sequence[object]) -> bool:
        return self._bound.takes(arrays)

    def step(self, arrays: Sequence[Array]) -> list[Array]:
        with failures_as_errors():
            return self._bound.step(arrays)


@contextmanager
def failures_as_errors() -> Iterator[None]:
    """Raise RuntimeAbortedError for any exception that a runtime in this process raises.

    A runtime in its own process already reports its failures in this way.
    """
    try:
        yield
    except RnnDeployError:
        raise
    except Exception as error:  # the exceptions of native runtimes have no common base
        raise RuntimeAbortedError(
            "E-RUNTIME-FAILED", f"the runtime failed: {one_line(error)}"
        ) from error


def _batch_and_steps(entry: EntryPoint, shapes: Shapes) -> tuple[int, int]:
    """Return the rows and the steps of a call; 0 steps if the number of steps is not open."""
    batch = next(iter(shapes[tensor.name] for tensor in entry.inputs))
    steps = shapes[entry.timed][1] if entry.time_symbols else 0
    return (batch[0] if batch else 1), steps


def load_checked(
    runtime: Runtime, bundle: Bundle, options: RunOptions, files_run: FilesRun
) -> CheckedRunner:
    """Load an entry point of a bundle; the files that it runs are noted in `files_run`."""
    runner = runtime.load(bundle, options)
    if isinstance(runtime, ReportsFiles):
        return CheckedRunner(runner, partial(runtime.file_of, bundle, options), files_run)
    return CheckedRunner(runner, lambda shapes: "", files_run)


def has_step_file(runtime: Runtime, bundle: Bundle, options: RunOptions) -> bool:
    """Return whether a runtime has a model file of its own for single steps of an entry point."""
    entry = bundle.manifest.entry(options.entry)
    if not isinstance(runtime, ReportsFiles) or len(entry.time_symbols) != 1:
        return False
    one = {t.name: tuple(d if isinstance(d, int) else 1 for d in t.shape) for t in entry.inputs}
    return runtime.file_of(bundle, options, one) != runtime.file_of(
        bundle, replace(options, step_form=False), one
    )
