"""A process of its own in which a runtime loads and runs, so that only it ends if that aborts.

    parent --request--> worker --answer--> parent        over one socket, until it is closed

A request is (verb, arguments), an answer (kind, value): kind "done" with the result, "refused"
with one of our own errors, "failed" with the words of any other. Started by `isolation`; knows
neither the Keras side nor what is compared.
"""

import sys
from multiprocessing.connection import Connection
from typing import Any

from rnn_deploy.errors import RnnDeployError, one_line
from rnn_deploy.runtimes.base import Runner, Runtime
from rnn_deploy.runtimes.placement import TellsPlacement


class Served:
    """A runtime and its loaded runners, as the verbs of requests."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._runners: dict[int, Runner] = {}

    def answer(self, verb: str, *given: Any) -> Any:
        """Do what one request asks."""
        return getattr(self, f"_{verb}")(*given)

    def _load(self, key: int, bundle: Any, options: Any) -> None:
        self._runners[key] = self._runtime.load(bundle, options)

    def _run(self, key: int, feeds: Any) -> Any:
        return self._runners[key].run(feeds)

    def _close(self, key: int) -> None:
        if key in self._runners:
            self._runners.pop(key).close()

    def _placements(self, bundle: Any, options: Any) -> Any:
        runtime = self._runtime
        return runtime.placements(bundle, options) if isinstance(runtime, TellsPlacement) else None


def main(descriptor: int) -> None:
    """Answer requests on the socket `descriptor` until the other side closes it."""
    with Connection(descriptor) as connection:
        served = Served(connection.recv())
        while True:
            try:
                request = connection.recv()
            except EOFError:
                return
            connection.send(_answered(served, request))


def _answered(served: Served, request: tuple[Any, ...]) -> tuple[str, Any]:
    try:
        return "done", served.answer(*request)
    except RnnDeployError as error:
        return "refused", error
    except Exception as error:  # a runtime may raise anything; its words are the finding
        return "failed", f"{type(error).__name__}: {one_line(error)}"


if __name__ == "__main__":
    main(int(sys.argv[1]))
