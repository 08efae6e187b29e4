"""A bundle on a runtime, for those who just want to use it: predict, stream.

model = rnn_deploy.load("build/hello")
y = model.predict(x)
stream = model.stream()
y0 = stream.step(x0)
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rnn_deploy.bundle import Bundle, open_bundle
from rnn_deploy.errors import InputError
from rnn_deploy.inference.plain import Feeds, Results, named, plain
from rnn_deploy.inference.stream import Stream
from rnn_deploy.inference.stream_batch import StreamBatch
from rnn_deploy.runtimes.base import Runner, RunOptions, Runtime
from rnn_deploy.runtimes.feeds import checker
from rnn_deploy.runtimes.registry import default_runtime, runtime_named
from rnn_deploy.spec import SEQUENCE, STREAM, Array


class RunnerLoader(Protocol):
    """Gives a runner for an entry point's name."""

    def __call__(self, entry: str) -> Runner: ...


class Model:
    """Loads the runner of an entry point when it is first used.

    A model with one input takes its array as it is, one with several a dict by name; likewise
    one output comes back as an array, several as a dict.
    """

    def __init__(self, name: str, load: RunnerLoader) -> None:
        self.name = name
        self._load = load
        self._runners: dict[str, Runner] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Of a copy or a pickle: how to load, by the bundle's path; runners it makes for itself."""
        return self.__dict__ | {"_runners": {}}

    def runner(self, entry: str = SEQUENCE) -> Runner:
        """The runner of an entry point."""
        if entry not in self._runners:
            self._runners[entry] = self._load(entry)
        return self._runners[entry]

    def predict(self, feeds: Feeds, *, batch_size: int | None = None) -> Results:
        """Run whole sequences from zero states, at most `batch_size` at a time."""
        runner = self.runner()
        given = named(runner.entry, feeds)
        results = runner.run(given) if batch_size is None else in_batches(runner, given, batch_size)
        return plain(runner.entry, results)

    def stream(self, batch: int = 1) -> Stream:
        """A stream of `batch` sequences side by side, from zero states."""
        return Stream(self.runner(STREAM), batch)

    def stream_batch(self) -> StreamBatch:
        """Streams that join and leave, run as the rows of one batch."""
        return StreamBatch(self.runner(STREAM))

    def close(self) -> None:
        """Release every runner."""
        for runner in self._runners.values():
            runner.close()
        self._runners.clear()


def load(
    bundle: str | Path | Bundle,
    runtime: str | None = None,
    *,
    threads: int | None = None,
    provider: Mapping[str, str] | None = None,
) -> Model:
    """Load a bundle on a runtime (by default the first that is here).

    Raises BundleError for a damaged bundle, RuntimeUnavailableError for a missing runtime.
    """
    opened = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
    chosen = default_runtime(opened) if runtime is None else runtime_named(runtime)
    options = tuple((provider or {}).items())

    model = Model(chosen.name, partial(_load_entry, opened, chosen, threads, options))
    model.runner()  # so that a missing runtime or an altered file is said now
    return model


def _load_entry(
    bundle: Bundle,
    runtime: Runtime,
    threads: int | None,
    options: tuple[tuple[str, str], ...],
    entry: str,
) -> Runner:
    return runtime.load(bundle, RunOptions(entry, threads, options))


def in_batches(runner: Runner, feeds: Mapping[str, Array], size: int) -> dict[str, Array]:
    """Run `feeds`, at most `size` sequences at a time."""
    if size < 1:
        raise InputError(f"a batch size of {size}; give at least 1")
    why = runner.entry.why_one_batch
    if why is not None:
        raise InputError(f"{why}, so it cannot be run in batches; run all sequences at once")
    checker(runner.entry)(feeds)
    total = next(iter(feeds.values())).shape[0]
    pieces = [
        runner.run({name: value[start : start + size] for name, value in feeds.items()})
        for start in range(0, total, size)
    ]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
