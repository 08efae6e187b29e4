"""The server in an isolated runtime's process: it loads, runs and closes entry points."""

from typing import Any

from rnn_deploy.bundle import Bundle
from rnn_deploy.runtimes.base import Runner, RunOptions, Runtime
from rnn_deploy.runtimes.placement import NodePlacement, ReportsPlacement


class RuntimeServer:
    """A runtime and its loaded runners, by the keys that `isolation` chose."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._runners: dict[int, Runner] = {}

    def load(self, key: int, bundle: Bundle, options: RunOptions) -> None:
        """Load an entry point."""
        self._runners[key] = self._runtime.load(bundle, options)

    def run(self, key: int, feeds: Any) -> Any:
        """Run a loaded entry point."""
        return self._runners[key].run(feeds)

    def close(self, key: int) -> None:
        """Release a loaded entry point."""
        self._runners.pop(key).close()

    def placements(self, bundle: Bundle, options: RunOptions) -> list[NodePlacement] | None:
        """Return where each node ran, None if the runtime does not report it."""
        runtime = self._runtime
        return (
            runtime.placements(bundle, options) if isinstance(runtime, ReportsPlacement) else None
        )
