"""LiteRT (TFLite's interpreter) on the CPU (`litert`).

One interpreter serves one set of shapes. If the shapes change, LiteRT 2.3 with its XNNPACK delegate
sometimes computes wrong values without an error: seen in one of six verifications of an LSTM, and
in none of 80 without the delegate. The delegate makes LiteRT fast, so it stays.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rnn_deploy.bundle import Bundle
from rnn_deploy.optional import installed_version, is_installed, pip_line, require
from rnn_deploy.runtimes.base import (
    RunOptions,
    Shapes,
    artifact_for,
    not_loaded,
    refuse_if_unavailable,
    refuse_provider_options,
    refuse_session_settings,
)
from rnn_deploy.runtimes.feeds import check_vocabulary, checker, closed, refused_by
from rnn_deploy.runtimes.integer_tensors import integer_tensors
from rnn_deploy.spec import STEP, STREAM, Array, EntryPoint, one_step

MOST_SHAPES = 4  # interpreters that are kept, those used last
Key = tuple[tuple[int, ...], ...]  # the shapes of all inputs, in order


class LiteRtRunner:
    """An entry point as a signature of LiteRT interpreters, one for each set of shapes.

    step: the file's entry point for a single step, if it has one. It runs in place of `entry`
    whenever the shapes fit.
    """

    def __init__(
        self, entry: EntryPoint, interpreter: Callable[[], Any], step: EntryPoint | None = None
    ) -> None:
        self.entry = entry
        self._step = step
        self._interpreter = interpreter
        self._signatures: OrderedDict[Key, Any] = OrderedDict()
        # Load now, so that a file that LiteRT does not accept is an error at once.
        self._next: Any = self._interpreter()
        signature = self._next.get_signature_runner(entry.name)
        self._integers = integer_tensors(
            {**signature.get_input_details(), **signature.get_output_details()},
            {tensor.name: tensor.dtype for tensor in (*entry.all_inputs, *entry.all_outputs)},
        )
        self._check = checker(entry)
        self._lock = threading.Lock()  # two calls at a time crash an interpreter
        self._inputs = [tensor.name for tensor in entry.all_inputs]
        self._outputs = [tensor.name for tensor in entry.all_outputs]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return every output and final state by name."""
        arrays = self._check(feeds)
        named = dict(zip(self._inputs, arrays, strict=True))
        check_vocabulary(self.entry, named)
        shapes, integers = tuple(array.shape for array in arrays), self._integers
        named |= {n: integers[n].integers_of(v) for n, v in named.items() if n in integers}
        try:
            with self._lock:
                if self._check is closed:  # another thread has closed it since the check
                    closed(None)
                results = self._signature_for(shapes)(**named)
        except (RuntimeError, ValueError) as error:
            raise refused_by("LiteRT", error) from error
        return {
            n: integers[n].floats_of(results[n]) if n in integers else results[n]
            for n in self._outputs
        }

    def close(self) -> None:
        """Release the interpreters."""
        self._check = closed
        with self._lock:
            self._signatures.clear()
            self._next = None

    def _signature_for(self, shapes: Key) -> Any:
        found = self._signatures.get(shapes)
        if found is None:
            interpreter, self._next = self._next or self._interpreter(), None
            found = interpreter.get_signature_runner(self._signature_name(shapes))
            self._signatures[shapes] = found
            if len(self._signatures) > MOST_SHAPES:
                self._signatures.popitem(last=False)
        self._signatures.move_to_end(shapes)
        return found

    def _signature_name(self, shapes: Key) -> str:
        if self._step is None:
            return self.entry.name
        pairs = zip(self._step.all_inputs, shapes, strict=True)
        fits = all(tensor.admits(shape) for tensor, shape in pairs)
        return self._step.name if fits else self.entry.name


@dataclass(frozen=True)
class LiteRtRuntime:
    """LiteRT's interpreter on the CPU."""

    name: str = "litert"
    format: str = "tflite"

    def version(self) -> str | None:
        """Return the installed version, None if it is not installed."""
        return installed_version("ai-edge-litert")

    def why_unavailable(self) -> str | None:
        """Return why this runtime cannot be used here, None if it can."""
        if is_installed("ai_edge_litert"):
            return None
        return f"ai-edge-litert is not installed; {pip_line('ai_edge_litert')}"

    def file_of(self, bundle: Bundle, options: RunOptions, shapes: Shapes) -> str:
        """Return the file and its signature that run a call with inputs of these shapes."""
        step = self._step(bundle, options)
        fits = step is not None and all(t.admits(shapes[t.name]) for t in step.inputs)
        signature = STEP if fits else options.entry
        return f"{artifact_for(bundle, self.format, options).path}, signature {signature}"

    def _step(self, bundle: Bundle, options: RunOptions) -> EntryPoint | None:
        """Return the entry point for single steps, None if the file has none."""
        has = bundle.manifest.artifact(self.format, STEP) is not None
        if not has or options.entry != STREAM or not options.step_form:
            return None
        return one_step(bundle.manifest.entry(STREAM))

    def load(self, bundle: Bundle, options: RunOptions) -> LiteRtRunner:
        """Load an entry point; raise RuntimeUnavailableError if LiteRT does not take it."""
        refuse_if_unavailable(self)
        refuse_provider_options(self.name, options)
        refuse_session_settings(self.name, options)
        entry = bundle.manifest.entry(options.entry)
        artifact = artifact_for(bundle, self.format, options)
        step = self._step(bundle, options)
        content = bundle.read(artifact.path)  # for all later interpreters too
        litert = require("ai_edge_litert.interpreter")

        def interpreter() -> Any:
            return litert.Interpreter(model_content=content, num_threads=options.threads)

        try:
            return LiteRtRunner(entry, interpreter, step)
        except (RuntimeError, ValueError) as error:
            raise not_loaded(self, bundle.root / artifact.path, error) from error
