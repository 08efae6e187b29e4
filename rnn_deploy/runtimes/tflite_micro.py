"""TFLite-Micro's own interpreter, as its Python package runs it on this machine (`tflite-micro`).

The file of the entry point `stream` is one step; it is called again for every step.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import InputError, RuntimeUnavailableError, one_line
from rnn_deploy.optional import installed_version, is_installed, pip_line, require
from rnn_deploy.runtimes.base import RunOptions, Shapes, artifact_for
from rnn_deploy.runtimes.feeds import checker, vocabulary_faults
from rnn_deploy.spec import STREAM, Array, EntryPoint, chunks


class MicroRunner:
    """An entry point in TFLite-Micro's interpreter, in an arena of the size that is promised."""

    def __init__(self, entry: EntryPoint, interpreter: Any) -> None:
        self.entry = entry
        self._interpreter = interpreter
        self._check = checker(entry)
        self._inputs = [tensor.name for tensor in entry.all_inputs]
        self._outputs = [tensor.name for tensor in entry.all_outputs]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Every output and final state by name."""
        named = dict(zip(self._inputs, self._check(feeds), strict=True))
        fault = vocabulary_faults(self.entry, named)
        if fault is not None:
            raise InputError(fault)
        if self.entry.name != STREAM:
            return self._invoke([named[name] for name in self._inputs])
        pieces = list(self._steps(named))
        last = pieces[-1]
        finals = {state.next_name: last[state.next_name] for state in self.entry.states}
        return chunks.joined(self.entry, pieces) | finals

    def close(self) -> None:
        """Release the interpreter."""
        self._interpreter = None

    def _steps(self, named: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
        states = {s.tensor.name: named[s.tensor.name] for s in self.entry.states}
        for piece in chunks.cut(self.entry, named, [1] * chunks.length_of(self.entry, named)):
            given = piece | states
            results = self._invoke([given[name] for name in self._inputs])
            states = {s.tensor.name: results[s.next_name] for s in self.entry.states}
            yield results

    def _invoke(self, arrays: Sequence[Array]) -> dict[str, Array]:
        try:
            for index, array in enumerate(arrays):
                self._interpreter.set_input(array, index)
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise InputError(f"TFLite-Micro refused the inputs: {one_line(error)}") from error
        return {
            name: self._interpreter.get_output(index).copy()
            for index, name in enumerate(self._outputs)
        }


@dataclass(frozen=True)
class MicroRuntime:
    """TFLite-Micro's interpreter."""

    name: str = "tflite-micro"
    format: str = "tflite-micro"

    def version(self) -> str | None:
        """The version installed, None if it is not."""
        return installed_version("tflite-micro")

    def why_unavailable(self) -> str | None:
        """Why this runtime cannot be used here, None if it can."""
        if is_installed("tflite_micro"):
            return None
        return f"tflite-micro is not installed; {pip_line('tflite_micro')}"

    def file_of(self, bundle: Bundle, options: RunOptions, shapes: Shapes) -> str:
        """The file that every call is run by."""
        return artifact_for(bundle, self.format, options).path

    def load(self, bundle: Bundle, options: RunOptions) -> MicroRunner:
        """Load an entry point; RuntimeUnavailableError if the interpreter does not take it."""
        why = self.why_unavailable()
        if why is not None:
            raise RuntimeUnavailableError(f"runtime '{self.name}': {why}")
        if options.provider or options.threads is not None:
            raise InputError(
                "tflite-micro has neither threads nor provider options; leave --threads and"
                " --option out"
            )
        entry = bundle.manifest.entry(options.entry)
        artifact = bundle.manifest.artifact(self.format, options.entry)
        arena = None if artifact is None else artifact.details.get("arena")
        if artifact is None or type(arena) is not int or arena < 1:
            raise InputError(
                f"{bundle.root}: holds nothing for microcontrollers; export with --to tflite-micro"
            )
        path = bundle.checked(artifact.path)
        micro = require("tflite_micro.python.tflite_micro.runtime")
        try:
            interpreter = micro.Interpreter.from_bytes(path.read_bytes(), arena_size=arena)
        except (RuntimeError, ValueError) as error:
            raise RuntimeUnavailableError(
                f"runtime '{self.name}': did not load {path}: {one_line(error)}"
            ) from error
        return MicroRunner(entry, interpreter)
