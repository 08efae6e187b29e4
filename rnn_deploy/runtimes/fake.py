"""A runtime whose results come from a function, to test a check with a planted fault."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import InputError
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.feeds import checker
from rnn_deploy.spec import Array, EntryPoint

Answer = Callable[[EntryPoint, Mapping[str, Array]], dict[str, Array]]


@dataclass(frozen=True)
class FakeRunner:
    """Computes results by a function of the entry point and the complete feeds."""

    entry: EntryPoint
    answer: Answer

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return every output and final state by name; raise InputError if one is missing."""
        names = [tensor.name for tensor in self.entry.all_inputs]
        arrays = checker(self.entry)(feeds)
        answer = self.answer(self.entry, dict(zip(names, arrays, strict=True)))
        missing = [t.name for t in self.entry.all_outputs if t.name not in answer]
        if missing:
            raise InputError(
                "E-RUNTIME-NO-OUTPUT", f"the fake runtime's answer has no '{missing[0]}'"
            )
        return answer

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


@dataclass(frozen=True)
class FakeRuntime:
    """Loads any bundle that has an artifact of `format`.

    in_process: never isolate it; only a function that can be pickled can run in a worker.
    """

    answer: Answer
    name: str = "fake"
    format: str = "onnx"
    in_process: bool = True

    def version(self) -> str | None:
        """Return its only version."""
        return "0"

    def why_unavailable(self) -> str | None:
        """Return None: it is always available."""
        return None

    def load(self, bundle: Bundle, options: RunOptions) -> FakeRunner:
        """Return a runner of the entry point."""
        return FakeRunner(bundle.manifest.entry(options.entry), self.answer)
