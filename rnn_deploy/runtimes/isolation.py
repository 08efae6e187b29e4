"""Run a runtime in its own process, under a time limit: a crash or a hang there is an error.

    Runtime --isolated--> IsolatedRuntime --load--> IsolatedRunner        one worker per runtime

ONNX Runtime ends its whole process on some inputs, and any native code may do so. Here a crash is a
RuntimeAbortedError with the signal's name, and a hang is one with the time limit. The next call
starts a new worker, until too many have ended in a row. A call costs about 0.1 ms and a copy of the
arrays.
"""

import itertools
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import InputError, RuntimeAbortedError, one_line
from rnn_deploy.runtimes.base import ReportsFiles, Runner, RunOptions, Runtime, Shapes
from rnn_deploy.runtimes.placement import NodePlacement
from rnn_deploy.runtimes.worker import RuntimeServer
from rnn_deploy.spec import Array, EntryPoint
from rnn_deploy.workers.process import CRASHED, FAILED, HUNG, WorkerError, WorkerProcess

TIME_LIMIT = 120.0  # seconds for one call, loading included
MOST_IN_A_ROW = {HUNG: 3, CRASHED: 20}  # fewer hangs, since each costs the whole time limit
ACTIVITY = {
    "load": "loading", "run": "running", "close": "closing", "placements": "being profiled",
}  # fmt: skip


def isolated(runtimes: Sequence[Runtime], time_limit: float = TIME_LIMIT) -> list[Runtime]:
    """Put each runtime in its own process, except those that have `in_process` set.

    time_limit: seconds for one call. Raises InputError if it is not positive.
    """
    if not time_limit > 0:
        raise InputError(
            "E-OPTION-TIME-LIMIT",
            f"expected a positive number of seconds as the time limit, got {time_limit:g}",
        )
    return [
        r if getattr(r, "in_process", False) else IsolatedRuntime(r, time_limit) for r in runtimes
    ]


@contextmanager
def staying(runtimes: Sequence[Runtime], time_limit: float = TIME_LIMIT) -> Iterator[list[Runtime]]:
    """Isolate runtimes and keep their processes from bundle to bundle until the context ends."""
    with ExitStack() as stack:
        apart = isolated(runtimes, time_limit)
        for runtime in apart:
            if isinstance(runtime, IsolatedRuntime):
                stack.enter_context(runtime.staying())
        yield apart


class IsolatedRunner:
    """An entry point loaded in a worker; loaded again after the worker has died."""

    def __init__(self, worker: "RuntimeProcess", bundle: Bundle, options: RunOptions) -> None:
        self.entry: EntryPoint = bundle.manifest.entry(options.entry)
        self._worker = worker
        self._to_load = (bundle, options)
        self._key = worker.new_key()
        self._loaded_in = 0  # the number of the worker's process that has loaded this
        self.aborted: RuntimeAbortedError | None = None  # while it was loaded first

    def load(self) -> None:
        """Load in the worker, unless its current process has done so."""
        if self._loaded_in != self._worker.starts or not self._worker.is_alive:
            self._worker.ask("load", self._key, *self._to_load)
            self._loaded_in = self._worker.starts

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return every output and final state by name; raise RuntimeAbortedError after a crash."""
        aborted, self.aborted = self.aborted, None
        if aborted is not None:  # reported once, even if the next process loads it
            raise aborted
        self.load()
        return self._worker.ask("run", self._key, dict(feeds))

    def close(self) -> None:
        """Release the runner; the worker ends with its last runner."""
        if self._loaded_in == self._worker.starts and self._worker.is_alive:
            with suppress(RuntimeAbortedError):
                self._worker.ask("close", self._key)
        self._worker.leave(self._key)


class IsolatedRuntime:
    """A runtime whose runners live in one worker process."""

    def __init__(self, runtime: Runtime, time_limit: float = TIME_LIMIT) -> None:
        self.name, self.format, self.in_process = runtime.name, runtime.format, True
        self.provider = str(getattr(runtime, "provider", ""))
        self._runtime = runtime
        self._worker = RuntimeProcess(runtime, time_limit)

    def version(self) -> str | None:
        """Return the installed version, None if it is not installed."""
        return self._runtime.version()

    def why_unavailable(self) -> str | None:
        """Return why this runtime cannot be used here, None if it can."""
        return self._runtime.why_unavailable()

    @contextmanager
    def staying(self) -> Iterator[None]:
        """Keep the process between runners."""
        key = self._worker.new_key()
        try:
            yield
        finally:
            self._worker.leave(key)

    def load(self, bundle: Bundle, options: RunOptions) -> Runner:
        """Return a runner in the worker.

        A runner that crashes while loading is returned too. Its first call raises the error, and
        the next ones load it again, so that at least one check fails.
        """
        runner = IsolatedRunner(self._worker, bundle, options)
        try:
            runner.load()
        except RuntimeAbortedError as error:
            runner.aborted = error
        except BaseException:
            runner.close()
            raise
        return runner

    def file_of(self, bundle: Bundle, options: RunOptions, shapes: Shapes) -> str:
        """Return the file that runs a call with inputs of these shapes; empty if unknown."""
        runtime = self._runtime
        return runtime.file_of(bundle, options, shapes) if isinstance(runtime, ReportsFiles) else ""

    def placements(self, bundle: Bundle, options: RunOptions) -> list[NodePlacement] | None:
        """Return where each node ran, None if the runtime does not report it."""
        key = self._worker.new_key()
        try:
            return self._worker.ask("placements", bundle, options)
        finally:
            self._worker.leave(key)


class RuntimeProcess:
    """The process: it starts with the first request and ends when its last user leaves.

    starts: how often the process was started.
    """

    def __init__(self, runtime: Runtime, time_limit: float) -> None:
        self._runtime, self._time_limit = runtime, time_limit
        try:
            pickle.dumps(runtime)
        except Exception as error:  # the parts of a runtime may raise any exception
            raise InputError(
                "E-RUNTIME-NOT-ISOLABLE",
                f"runtime '{runtime.name}' cannot run in a process of its own, since it cannot be"
                f" pickled ({one_line(error)}); add --no-isolate",
            ) from error
        self._keys, self._users = itertools.count(), set[int]()
        self._process: WorkerProcess | None = None
        self.starts, self._last_end = 0, ""
        self._ends_in_a_row: list[str] = []

    @property
    def is_alive(self) -> bool:
        return self._process is not None

    def new_key(self) -> int:
        """Return a key for a new user."""
        key = next(self._keys)
        self._users.add(key)
        return key

    def leave(self, key: int) -> None:
        """Remove one user; the process ends with the last one."""
        self._users.discard(key)
        if not self._users:
            self._end()

    def ask(self, verb: str, *given: Any) -> Any:
        """Send a request and wait for its answer."""
        ends = self._ends_in_a_row
        if any(ends.count(kind) >= most for kind, most in MOST_IN_A_ROW.items()):
            raise RuntimeAbortedError(
                "E-RUNTIME-GIVEN-UP",
                f"not tried, since the process ended in {len(ends)} calls in a row; the last"
                f" time {self._last_end}",
            )
        if self._process is None:
            self._process = WorkerProcess(RuntimeServer, self._runtime, time_limit=self._time_limit)
            self.starts += 1
        try:
            answer = self._process.ask(verb, *given)
        except WorkerError as error:
            if error.code == FAILED:
                raise
            self._end()
            ends.append(error.code)
            self._last_end = f"'{self._runtime.name}' {error.reason} while {ACTIVITY[verb]}"
            last_line = f"; its last line: {error.last_line}" if error.last_line else ""
            raise RuntimeAbortedError(error.code, self._last_end + last_line) from error
        if verb == "run":
            ends.clear()
        return answer

    def _end(self) -> None:
        if self._process is not None:
            self._process.close()
        self._process = None
