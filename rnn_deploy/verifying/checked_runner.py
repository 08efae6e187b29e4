"""A runner under verification: its answers must be whole, and what ran them is known.

Runner --watched--> Watched --run--> answers that hold every tensor, in its type; Ran has the files
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
    """The files that runners were run by since they were last asked for, each once."""

    def __init__(self) -> None:
        self._files: dict[str, None] = {}

    def note(self, file: str) -> None:
        """Remember a file; where it is not known, nothing."""
        if file:
            self._files[file] = None

    def taken(self) -> tuple[str, ...]:
        """The files so far; from here on, none."""
        files, self._files = tuple(self._files), {}
        return files


class CheckedRunner:
    """A runner whose every answer holds each output and final state, in the type that is promised.

    RnnDeployError where it does not: what is not there would not be compared.
    """

    def __init__(self, runner: Runner, file_of: Callable[[Shapes], str], ran: FilesRun) -> None:
        self.entry = runner.entry
        self._runner, self._file_of, self._ran = runner, file_of, ran
        self._promised = {t.name: t.dtype for t in runner.entry.all_outputs}

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Every output and final state by name."""
        self._ran.note(self._file_of({name: value.shape for name, value in feeds.items()}))
        results = self._runner.run(feeds)
        for name, dtype in self._promised.items():
            if name not in results:
                raise RnnDeployError(f"the answer of '{self.entry.name}' holds no '{name}'")
            found = np.asarray(results[name]).dtype.name
            if found != dtype:
                raise RnnDeployError(f"'{name}' of '{self.entry.name}' is {found}, not {dtype}")
        return {name: results[name] for name in self._promised}

    def bound(self, shapes: Shapes) -> BoundRunner | None:
        """Bound to memory of its own, where the runner can be."""
        self._ran.note(self._file_of(shapes))
        return self._runner.bound(shapes) if isinstance(self._runner, BindableRunner) else None

    def noting(self, ran: FilesRun) -> "CheckedRunner":
        """The same runner, what it runs noted elsewhere."""
        return CheckedRunner(self._runner, self._file_of, ran)

    def close(self) -> None:
        """Release the runner."""
        self._runner.close()


def watched(
    runner: Runner, runtime: Runtime, bundle: Bundle, options: RunOptions, ran: FilesRun
) -> CheckedRunner:
    """`runner` of a runtime, loaded with these options; the files it runs are noted in `ran`."""
    if isinstance(runtime, ReportsFiles):
        return CheckedRunner(runner, partial(runtime.file_of, bundle, options), ran)
    return CheckedRunner(runner, lambda shapes: "", ran)


def steps_apart(runtime: Runtime, bundle: Bundle, options: RunOptions) -> bool:
    """Whether a runtime runs single steps of an entry point by a form of their own."""
    entry = bundle.manifest.entry(options.entry)
    if not isinstance(runtime, ReportsFiles) or len(entry.time_symbols) != 1:
        return False
    one = {t.name: tuple(d if isinstance(d, int) else 1 for d in t.shape) for t in entry.inputs}
    return runtime.file_of(bundle, options, one) != runtime.file_of(
        bundle, replace(options, step_form=False), one
    )
