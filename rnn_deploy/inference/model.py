"""A bundle on a runtime, for users who only run it.

with rnn_deploy.load("build/hello") as model:
    y = model.predict(x)
    stream = model.stream()
    y0 = stream.step(x0)
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from rnn_deploy.bundle import Bundle
from rnn_deploy.bundle.state_files import owner_of
from rnn_deploy.bundle.store import with_bundle
from rnn_deploy.errors import ClosedError, InputError
from rnn_deploy.inference.fitting import fitted
from rnn_deploy.inference.generation import MAX_STEPS, GenerationOptions, generate
from rnn_deploy.inference.plain import Feeds, Results, named, plain
from rnn_deploy.inference.preprocessing import preprocessing_of
from rnn_deploy.inference.rows import run_rows
from rnn_deploy.inference.strategies import Generated
from rnn_deploy.inference.stream import Prepare, Stream
from rnn_deploy.inference.stream_batch import StreamBatch
from rnn_deploy.runtimes.base import Runner, RunOptions, Runtime
from rnn_deploy.runtimes.feeds import checker
from rnn_deploy.runtimes.registry import default_runtime, runtime_named
from rnn_deploy.spec import SEQUENCE, STREAM, Array, StateSpec, TensorSpec


class RunnerLoader(Protocol):
    """Load the runner of an entry point."""

    def __call__(self, entry: str) -> Runner: ...


class Model:
    """A model that can be called. It loads the runner of an entry point at its first use.

    bundle: the bundle it was loaded from. runtime: the name of the runtime that executes it.

    A model with one input takes a plain array, a model with several takes a dict by name. In the
    same way a single output is returned as an array, several as a dict.
    """

    def __init__(self, bundle: Bundle, runtime: str, load: RunnerLoader) -> None:
        self.bundle, self.runtime = bundle, runtime
        self._load = load
        self._runners: dict[str, Runner] = {}
        self._closed = False
        self._preprocessing = preprocessing_of(bundle)

    @property
    def name(self) -> str:
        """The name of the model, or of the file, that the bundle was exported from."""
        return self.bundle.manifest.source.name

    @property
    def inputs(self) -> dict[str, TensorSpec]:
        """The inputs of `predict` by name, with shapes and dtypes."""
        return {tensor.name: tensor for tensor in self.bundle.manifest.entry(SEQUENCE).inputs}

    @property
    def outputs(self) -> dict[str, TensorSpec]:
        """The outputs of `predict` by name."""
        return {tensor.name: tensor for tensor in self.bundle.manifest.entry(SEQUENCE).outputs}

    @property
    def states(self) -> dict[str, StateSpec]:
        """The states of a stream by input name; empty if the bundle has no stream."""
        streams = [entry for entry in self.bundle.manifest.entries if entry.name == STREAM]
        return {state.tensor.name: state for entry in streams for state in entry.states}

    def __repr__(self) -> str:
        takes, gives = (
            ", ".join(map(str, specs.values())) for specs in (self.inputs, self.outputs)
        )
        closed = ", closed" if self._closed else ""
        return f"<Model '{self.name}' on {self.runtime}: {takes} -> {gives}{closed}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the runners out of copies and pickles, which load their own from the bundle."""
        return self.__dict__ | {"_runners": {}}

    def runner(self, entry: str = SEQUENCE) -> Runner:
        """Return the runner of an entry point."""
        if self._closed:
            raise ClosedError(
                "E-RUNTIME-CLOSED",
                f"the model '{self.name}' is closed; load the bundle again: {self.bundle.root}",
            )
        if entry not in self._runners:
            self._runners[entry] = self._load(entry)
        return self._runners[entry]

    def predict(self, feeds: Feeds, *, batch_size: int | None = None) -> Results:
        """Run whole sequences from zero states, at most `batch_size` sequences at a time.

        feeds: arrays, or lists of sequences, which may differ in their number of steps; then an
        output over time is a list with an array for each sequence. int64, float64 and other dtypes
        are converted if that loses no information. The preprocessing of the bundle converts text
        and raw numbers to the model's inputs.
        """
        runner = self.runner()
        given = fitted(runner.entry, self._preprocessing.apply(named(runner.entry, feeds)))
        call = runner.run
        if batch_size is not None:
            call = partial(in_batches, runner, size=batch_size)
        return plain(runner.entry, run_rows(runner.entry, given, call))

    def generate(
        self,
        source: Feeds,
        *,
        start: int | None = None,
        end: int | None = None,
        max_steps: int = MAX_STEPS,
        strategy: str = "greedy",
        beams: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        seed: int | None = None,
    ) -> list[Generated]:
        """Generate a sequence of tokens for each source of an encoder-decoder model.

        A language model continues each prompt in `source`. start: the token that the decoder begins
        with. end: the token that ends a sequence, which then leaves the batch; without it every
        sequence has `max_steps` tokens. strategy: "greedy", "sample" (temperature, by default 1;
        top_k; seed) or "beam" (beams, by default 4).

        Return for each source its `ids`, `score` and `ended`; see `strategies.Generated`. Raise
        InputError if the model cannot generate, or a token is outside the vocabulary.
        """
        options = GenerationOptions(
            start, end, max_steps, strategy, beams, temperature, top_k, seed
        )
        manifest = self.bundle.manifest
        entries = [entry.name for entry in manifest.entries]
        why = "; ".join(note for note in manifest.notes if note.startswith("no "))
        return generate(self.runner, entries, source, options, self._preprocessing.apply, why)

    def takes_text(self, name: str) -> bool:
        """Return whether an input can be given as text, which the bundle turns into ids."""
        return self._preprocessing.takes_text(name)

    def stream(self, batch: int = 1) -> Stream:
        """Return a stream of `batch` sequences side by side, starting from zero states."""
        owner = owner_of(self.bundle, STREAM)
        return Stream(self.runner(STREAM), batch, owner, self._prepare)

    def stream_batch(self) -> StreamBatch:
        """Return streams that join and leave, and run as the rows of one batch."""
        return StreamBatch(self.runner(STREAM), owner_of(self.bundle, STREAM), self._prepare)

    @property
    def _prepare(self) -> Prepare | None:
        return self._preprocessing.apply_to_chunk if self._preprocessing else None

    def close(self) -> None:
        """Release every runner; the model and its streams cannot be used afterwards."""
        self._closed = True
        for runner in list(self._runners.values()):  # a copy: another thread may add one
            runner.close()
        self._runners.clear()


def load(
    bundle: str | Path | Bundle,
    runtime: str | None = None,
    *,
    threads: int | None = None,
    provider: Mapping[str, str] | None = None,
) -> Model:
    """Load a bundle on a runtime, by default the first available one.

    runtime: a name that `rnn-deploy runtimes` lists. threads: number of threads within an operator,
    by default the runtime's choice. provider: options of ONNX Runtime's execution provider.

    Raises BundleError for a damaged bundle, RuntimeUnavailableError for a missing runtime.
    """

    def loaded(opened: Bundle) -> Model:
        chosen = default_runtime(opened) if runtime is None else runtime_named(runtime)
        options = tuple((provider or {}).items())
        model = Model(opened, chosen.name, partial(_load_entry, opened, chosen, threads, options))
        model.runner()  # reports a missing runtime or an altered file now
        return model

    return loaded(bundle) if isinstance(bundle, Bundle) else with_bundle(bundle, loaded)


def _load_entry(
    bundle: Bundle,
    runtime: Runtime,
    threads: int | None,
    options: tuple[tuple[str, str], ...],
    entry: str,
) -> Runner:
    return runtime.load(bundle, RunOptions(entry, threads, options))


def in_batches(runner: Runner, feeds: Mapping[str, Array], size: int) -> dict[str, Array]:
    """Run `feeds`, at most `size` sequences at a time."""
    if size < 1:
        raise InputError("E-INPUT-BATCH-SIZE", f"batch_size is {size}; it must be at least 1")
    why = runner.entry.why_one_batch
    if why is not None:
        raise InputError(
            "E-INPUT-ONE-BATCH",
            f"this model cannot run in batches: {why}; run all sequences in one call",
        )
    checker(runner.entry)(feeds)
    total = next(iter(feeds.values())).shape[0]
    pieces = [
        runner.run({name: value[start : start + size] for name, value in feeds.items()})
        for start in range(0, total, size)
    ]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
