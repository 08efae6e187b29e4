"""LiteRT (TFLite's interpreter), on the CPU (`litert`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rnn_deploy.bundle import Bundle
from rnn_deploy.errors import InputError, RuntimeUnavailableError, one_line
from rnn_deploy.optional import installed_version, is_installed, pip_line, require
from rnn_deploy.runtimes.base import RunOptions
from rnn_deploy.runtimes.feeds import checker, vocabulary_faults
from rnn_deploy.spec import Array, EntryPoint


class LiteRtRunner:
    """An entry point as a signature of a LiteRT interpreter."""

    def __init__(self, entry: EntryPoint, interpreter: Any) -> None:
        self.entry = entry
        self._interpreter = interpreter
        self._signature = interpreter.get_signature_runner(entry.name)
        self._check = checker(entry)
        self._inputs = [tensor.name for tensor in entry.all_inputs]
        self._outputs = [tensor.name for tensor in entry.all_outputs]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Every output and final state by name."""
        arrays = self._check(feeds)
        named = dict(zip(self._inputs, arrays, strict=True))
        fault = vocabulary_faults(self.entry, named)  # the interpreter would read what lies there
        if fault is not None:
            raise InputError(fault)
        try:
            results = self._signature(**named)
        except (RuntimeError, ValueError) as error:
            raise InputError(f"LiteRT refused the inputs: {one_line(error)}") from error
        return {name: results[name] for name in self._outputs}

    def close(self) -> None:
        """Release the interpreter."""
        self._signature = self._interpreter = None


@dataclass(frozen=True)
class LiteRtRuntime:
    """LiteRT's interpreter on the CPU."""

    name: str = "litert"
    format: str = "tflite"

    def version(self) -> str | None:
        """The version installed, None if it is not."""
        return installed_version("ai-edge-litert")

    def why_unavailable(self) -> str | None:
        """Why this runtime cannot be used here, None if it can."""
        if is_installed("ai_edge_litert"):
            return None
        return f"ai-edge-litert is not installed; {pip_line('ai_edge_litert')}"

    def load(self, bundle: Bundle, options: RunOptions) -> LiteRtRunner:
        """Load an entry point; RuntimeUnavailableError if LiteRT does not take it."""
        why = self.why_unavailable()
        if why is not None:
            raise RuntimeUnavailableError(f"runtime '{self.name}': {why}")
        if options.provider:
            raise InputError("litert has no provider options; leave --option out")
        entry = bundle.manifest.entry(options.entry)
        artifact = bundle.manifest.artifact(self.format, options.entry)
        if artifact is None:
            raise InputError(f"{bundle.root}: holds no TFLite artifact; export with --to tflite")
        path = str(bundle.checked(artifact.path))
        litert = require("ai_edge_litert.interpreter")
        try:
            interpreter = litert.Interpreter(model_path=path, num_threads=options.threads)
            return LiteRtRunner(entry, interpreter)
        except (RuntimeError, ValueError) as error:
            raise RuntimeUnavailableError(
                f"runtime 'litert': did not load {path}: {one_line(error)}"
            ) from error
