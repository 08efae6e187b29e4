"""A runtime in a process of its own, under a time limit: what aborts or hangs there is an error.

    Runtime --isolated--> IsolatedRuntime --load--> IsolatedRunner        one worker per runtime

ONNX Runtime ends its whole process on some inputs, and native code may do so anywhere. Here that
is a RuntimeAbortedError with the signal's name, a call that does not come back one with the
limit. The next call starts a new worker, until so many have died in a row that more would tell
nothing.
Each call costs some 0.1 ms and a copy of the arrays.
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
from rnn_deploy.workers.process import DIED, HUNG, ProcessEndedError, WorkerProcess

LIMIT = 120.0  # seconds for one call, loading included
MOST_DEATHS = {HUNG: 3, DIED: 20}  # in a row: a hang costs the whole limit
DOING = {
    "load": "loading", "run": "running", "close": "closing", "placements": "being profiled",
}  # fmt: skip


def isolated(runtimes: Sequence[Runtime], limit: float = LIMIT) -> list[Runtime]:
    """The runtimes, each in a process of its own but for those that say `in_process`.

    limit: seconds for one call. InputError when it is not positive.
    """
    if not limit > 0:
        raise InputError(f"a time limit of {limit:g} s; give a positive number of seconds")
    return [r if getattr(r, "in_process", False) else IsolatedRuntime(r, limit) for r in runtimes]


@contextmanager
def staying(runtimes: Sequence[Runtime], limit: float = LIMIT) -> Iterator[list[Runtime]]:
    """The same, their processes staying from bundle to bundle until the context ends."""
    with ExitStack() as stack:
        apart = isolated(runtimes, limit)
        for runtime in apart:
            if isinstance(runtime, IsolatedRuntime):
                stack.enter_context(runtime.staying())
        yield apart


class IsolatedRunner:
    """An entry point loaded in a worker; loaded again after the worker has died."""

    def __init__(self, worker: "RuntimeProcess", bundle: Bundle, options: RunOptions) -> None:
        self.entry: EntryPoint = bundle.manifest.entry(options.entry)
        self._worker = worker
        self._loading = (bundle, options)
        self._key = worker.new_key()
        self._lives = 0  # the number of the worker's life in which this was loaded

    def load(self) -> None:
        """Load in the worker, unless that is done."""
        if self._lives != self._worker.lives or not self._worker.is_alive:
            self._worker.ask("load", self._key, *self._loading)
            self._lives = self._worker.lives

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Every output and final state by name; RuntimeAbortedError if the worker died."""
        self.load()
        return self._worker.ask("run", self._key, dict(feeds))

    def close(self) -> None:
        """Release the runner; the last one's worker ends."""
        if self._lives == self._worker.lives and self._worker.is_alive:
            with suppress(RuntimeAbortedError):
                self._worker.ask("close", self._key)
        self._worker.leave(self._key)


class IsolatedRuntime:
    """A runtime whose runners live in one worker process."""

    def __init__(self, runtime: Runtime, limit: float = LIMIT) -> None:
        self.name, self.format, self.in_process = runtime.name, runtime.format, True
        self.provider = str(getattr(runtime, "provider", ""))
        self._runtime = runtime
        self._worker = RuntimeProcess(runtime, limit)

    def version(self) -> str | None:
        """The version installed, None if it is not."""
        return self._runtime.version()

    def why_unavailable(self) -> str | None:
        """Why this runtime cannot be used here, None if it can."""
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
        """A runner in the worker. One that aborts on loading is given all the same, and says so
        whenever it is to run, so that each check that needs it is a failed one."""
        runner = IsolatedRunner(self._worker, bundle, options)
        try:
            runner.load()
        except RuntimeAbortedError:
            return runner
        except BaseException:
            runner.close()
            raise
        return runner

    def file_of(self, bundle: Bundle, options: RunOptions, shapes: Shapes) -> str:
        """The file that a call with inputs of these shapes is run by; nothing if that is not
        told."""
        runtime = self._runtime
        return runtime.file_of(bundle, options, shapes) if isinstance(runtime, ReportsFiles) else ""

    def placements(self, bundle: Bundle, options: RunOptions) -> list[NodePlacement] | None:
        """Where each node ran, as the runtime in the worker tells."""
        key = self._worker.new_key()
        try:
            return self._worker.ask("placements", bundle, options)
        finally:
            self._worker.leave(key)


class RuntimeProcess:
    """The process: started when something is asked, ended when its last user leaves.

    lives: how often it was started.
    """

    def __init__(self, runtime: Runtime, limit: float) -> None:
        self._runtime, self._limit = runtime, limit
        try:
            pickle.dumps(runtime)
        except Exception as error:  # whatever a runtime's own parts raise
            raise InputError(
                f"runtime '{runtime.name}' cannot go to a process of its own ({one_line(error)});"
                " verify it with --no-isolate"
            ) from error
        self._keys, self._users = itertools.count(), set[int]()
        self._process: WorkerProcess | None = None
        self.lives, self._last_death = 0, ""
        self._deaths: list[str] = []

    @property
    def is_alive(self) -> bool:
        return self._process is not None

    def new_key(self) -> int:
        """A key for one more user."""
        key = next(self._keys)
        self._users.add(key)
        return key

    def leave(self, key: int) -> None:
        """One user less; without any the process ends."""
        self._users.discard(key)
        if not self._users:
            self._end()

    def ask(self, verb: str, *given: Any) -> Any:
        """Send a request and wait for its answer."""
        if any(self._deaths.count(kind) >= most for kind, most in MOST_DEATHS.items()):
            raise RuntimeAbortedError(
                f"not tried: {len(self._deaths)} calls before had come to such an end,"
                f" the last: {self._last_death}"
            )
        if self._process is None:
            self._process = WorkerProcess(RuntimeServer, self._runtime, limit=self._limit)
            self.lives += 1
        try:
            answer = self._process.ask(verb, *given)
        except ProcessEndedError as error:
            self._end()
            self._deaths.append(error.kind)
            self._last_death = f"'{self._runtime.name}' {error.how} while {DOING[verb]}"
            said = f"; its last words: {error.said}" if error.said else ""
            raise RuntimeAbortedError(self._last_death + said) from error
        if verb == "run":
            self._deaths.clear()
        return answer

    def _end(self) -> None:
        if self._process is not None:
            self._process.close()
        self._process = None
