"""A runner under verification: its results must be complete, and the files that it runs are known.

Runner --checked_runner--> CheckedRunner --run--> results with every tensor in the right type
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import RnnDeployError
from rnn_deploy.runtimes.base import (
    BindableRunner,
    BoundRunner,
    ReportsFiles,
    Runner,
    RunOptions,
    Runtime,
    Shapes,
)
from rnn_deploy.spec import Array


class FilesRun:
    """The files that runners ran since the last call of `take`, each once."""

    def __init__(self) -> None:
        self._files: dict[str, None] = {}

    def note(self, file: str) -> None:
        """Remember a file; an empty name is ignored."""
        if file:
            self._files[file] = None

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
        self._files_run.note(self._file_of({name: value.shape for name, value in feeds.items()}))
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
        return self._runner.bound(shapes) if isinstance(self._runner, BindableRunner) else None

    def noting(self, files_run: FilesRun) -> "CheckedRunner":
        """Return the same runner, with its files noted in `files_run`."""
        return CheckedRunner(self._runner, self._file_of, files_run)

    def close(self) -> None:
        """Release the runner."""
        self._runner.close()


def load_checked(
    runtime: Runtime, bundle: Bundle, options: RunOptions, files_run: FilesRun
) -> CheckedRunner:
    """Load an entry point of a bundle; the files that it runs are noted in `files_run`."""
    runner = runtime.load(bundle, options)
    if isinstance(runtime, ReportsFiles):
        return CheckedRunner(runner, partial(runtime.file_of, bundle, options), files_run)
    return CheckedRunner(runner, lambda shapes: "", files_run)


def has_step_file(runtime: Runtime, bundle: Bundle, options: RunOptions) -> bool:
    """Whether a runtime runs single steps of an entry point by a model file of their own."""
    entry = bundle.manifest.entry(options.entry)
    if not isinstance(runtime, ReportsFiles) or len(entry.time_symbols) != 1:
        return False
    one = {t.name: tuple(d if isinstance(d, int) else 1 for d in t.shape) for t in entry.inputs}
    return runtime.file_of(bundle, options, one) != runtime.file_of(
        bundle, replace(options, step_form=False), one
    )
