"""TFLite-Micro's own interpreter, which its Python package contains (`tflite-micro`).

The file of the entry point `stream` computes one step, and is called for every step.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import InputError
from rnn_deploy.optional import installed_version, is_installed, pip_line, require
from rnn_deploy.runtimes.base import (
    RunOptions,
    Shapes,
    artifact_for,
    not_loaded,
    refuse_if_unavailable,
    refuse_provider_options,
)
from rnn_deploy.runtimes.feeds import check_vocabulary, checker, closed, refused_by
from rnn_deploy.runtimes.integer_tensors import integer_tensors
from rnn_deploy.spec import STREAM, Array, EntryPoint, chunks


class MicroRunner:
    """An entry point in TFLite-Micro's interpreter, in an arena with the size in the bundle."""

    def __init__(self, entry: EntryPoint, interpreter: Any) -> None:
        self.entry = entry
        self._interpreter: Any = interpreter
        self._lock = threading.Lock()
        self._check = checker(entry)
        self._inputs = [tensor.name for tensor in entry.all_inputs]
        self._outputs = [tensor.name for tensor in entry.all_outputs]
        details = {
            **{n: interpreter.get_input_details(i) for i, n in enumerate(self._inputs)},
            **{n: interpreter.get_output_details(i) for i, n in enumerate(self._outputs)},
        }
        dtypes = {tensor.name: tensor.dtype for tensor in (*entry.all_inputs, *entry.all_outputs)}
        self._integers = integer_tensors(details, dtypes)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return every output and final state by name."""
        named = dict(zip(self._inputs, self._check(feeds), strict=True))
        check_vocabulary(self.entry, named)
        if self.entry.name != STREAM:
            return self._invoke([named[name] for name in self._inputs])
        pieces = list(self._steps(named))
        last = pieces[-1]
        finals = {state.next_name: last[state.next_name] for state in self.entry.states}
        return chunks.joined(self.entry, pieces) | finals

    def close(self) -> None:
        """Release the interpreter."""
        self._check = closed
        self._interpreter = None

    def _steps(self, named: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
        states = {s.tensor.name: named[s.tensor.name] for s in self.entry.states}
        for piece in chunks.cut(self.entry, named, [1] * chunks.length_of(self.entry, named)):
            given = piece | states
            results = self._invoke([given[name] for name in self._inputs])
            states = {s.tensor.name: results[s.next_name] for s in self.entry.states}
            yield results

    def _invoke(self, arrays: Sequence[Array]) -> dict[str, Array]:
        interpreter = self._interpreter
        if interpreter is None:  # another thread has closed it since the check
            closed(None)
        integers = self._integers
        with self._lock:  # an interpreter serves one call at a time
            try:
                for index, (name, array) in enumerate(zip(self._inputs, arrays, strict=True)):
                    scale = integers.get(name)
                    value = array if scale is None else scale.integers_of(array)
                    interpreter.set_input(value, index)
                interpreter.invoke()
            except (RuntimeError, ValueError) as error:
                raise refused_by("TFLite-Micro", error) from error
            return {
                name: interpreter.get_output(index).copy()
                if name not in integers
                else integers[name].floats_of(interpreter.get_output(index))
                for index, name in enumerate(self._outputs)
            }


@dataclass(frozen=True)
class MicroRuntime:
    """TFLite-Micro's interpreter."""

    name: str = "tflite-micro"
    format: str = "tflite-micro"

    def version(self) -> str | None:
        """Return the installed version, None if it is not installed."""
        return installed_version("tflite-micro")

    def why_unavailable(self) -> str | None:
        """Return why this runtime cannot be used here, None if it can."""
        if is_installed("tflite_micro"):
            return None
        return f"tflite-micro is not installed; {pip_line('tflite_micro')}"

    def file_of(self, bundle: Bundle, options: RunOptions, shapes: Shapes) -> str:
        """Return the file that runs every call."""
        return artifact_for(bundle, self.format, options).path

    def load(self, bundle: Bundle, options: RunOptions) -> MicroRunner:
        """Load an entry point; raise RuntimeUnavailableError if the interpreter refuses it."""
        refuse_if_unavailable(self)
        refuse_provider_options(self.name, options)
        if options.threads is not None:
            raise InputError("E-OPTION-THREADS", "tflite-micro has no threads; remove --threads")
        entry = bundle.manifest.entry(options.entry)
        artifact = bundle.manifest.artifact(self.format, options.entry)
        arena = None if artifact is None else artifact.details.get("arena")
        if artifact is None or type(arena) is not int or arena < 1:
            raise InputError(
                "E-BUNDLE-NO-ARTIFACT",
                f"{bundle.root}: holds nothing for microcontrollers; export with --to tflite-micro",
            )
        content = bundle.read(artifact.path)
        micro = require("tflite_micro.python.tflite_micro.runtime")
        try:
            interpreter = micro.Interpreter.from_bytes(content, arena_size=arena)
        except (RuntimeError, ValueError) as error:
            raise not_loaded(self, bundle.root / artifact.path, error) from error
        return MicroRunner(entry, interpreter)
