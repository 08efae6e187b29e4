"""A runtime and its loaded runners, as `isolation` has them served in a process of their own."""

from typing import Any

from rnn_deploy.bundle import Bundle
from rnn_deploy.runtimes.base import Runner, RunOptions, Runtime
from rnn_deploy.runtimes.placement import NodePlacement, ReportsPlacement


class RuntimeServer:
    """The runtime's verbs; runners go by the keys that the other side gave them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._runners: dict[int, Runner] = {}

    def load(self, key: int, bundle: Bundle, options: RunOptions) -> None:
        """Load an entry point."""
        self._runners[key] = self._runtime.load(bundle, options)

    def run(self, key: int, feeds: Any) -> Any:
        """What a loaded entry point gives."""
        return self._runners[key].run(feeds)

    def close(self, key: int) -> None:
        """Release a loaded entry point."""
        self._runners.pop(key).close()

    def placements(self, bundle: Bundle, options: RunOptions) -> list[NodePlacement] | None:
        """Where each node ran, None where the runtime does not tell."""
        runtime = self._runtime
        return (
            runtime.placements(bundle, options) if isinstance(runtime, ReportsPlacement) else None
        )
