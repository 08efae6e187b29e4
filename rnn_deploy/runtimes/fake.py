"""A runtime whose answers are a function: for tests, and for trying a check on a planted fault."""

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
    """Answers with a function of the entry point and the complete feeds."""

    entry: EntryPoint
    answer: Answer

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Every output and final state by name, as the function gives them.

        InputError where it gives one of them not.
        """
        names = [tensor.name for tensor in self.entry.all_inputs]
        arrays = checker(self.entry)(feeds)
        answer = self.answer(self.entry, dict(zip(names, arrays, strict=True)))
        missing = [t.name for t in self.entry.all_outputs if t.name not in answer]
        if missing:
            raise InputError(f"the answer of a fake runtime holds no '{missing[0]}'")
        return answer

    def close(self) -> None:
        """Nothing to release."""


@dataclass(frozen=True)
class FakeRuntime:
    """Loads any bundle that has an artifact of `format`.

    in_process: never isolated; only an answer that can be pickled can go to a worker.
    """

    answer: Answer
    name: str = "fake"
    format: str = "onnx"
    in_process: bool = True

    def version(self) -> str | None:
        """There is one version."""
        return "0"

    def why_unavailable(self) -> str | None:
        """Always here."""
        return None

    def load(self, bundle: Bundle, options: RunOptions) -> FakeRunner:
        """A runner of the entry point."""
        return FakeRunner(bundle.manifest.entry(options.entry), self.answer)
