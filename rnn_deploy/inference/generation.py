"""Generate sequences of tokens with a model: from a source, or as the continuation of a prompt.

    source --encode--> memory and states --decode, token by token--> sequences
    prompt --stream--> states            --stream, token by token--> sequences

Each batch has sources of one length, because the encoder would see padding.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.inference.fitting import Fitted, fitted
from rnn_deploy.inference.next_token import DecoderSpec, TokenRows, decoder_spec
from rnn_deploy.inference.plain import Feeds, named
from rnn_deploy.inference.strategies import Generated, by_beams, drawn, likeliest, one_by_one
from rnn_deploy.runtimes.base import Runner
from rnn_deploy.spec import DECODE, ENCODE, STREAM, Array

STRATEGIES = ("greedy", "sample", "beam")
BEAMS = 4
MAX_STEPS = 100
Prepare = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class GenerationOptions:
    """How sequences are generated.

    start: the token that a decoder begins with. end: the token that ends a sequence. beams: the
    number of sequences that a beam search keeps. temperature, top_k, seed: of the strategy
    "sample". Raises InputError for invalid values, and for options of another strategy.
    """

    start: int | None = None
    end: int | None = None
    max_steps: int = MAX_STEPS
    strategy: str = "greedy"
    beams: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            known = ", ".join(STRATEGIES)
            raise InputError(
                "E-GENERATE-STRATEGY", f"unknown strategy '{self.strategy}'; choose from {known}"
            )
        owners = {"beams": "beam", "temperature": "sample", "top_k": "sample", "seed": "sample"}
        for name, owner in owners.items():
            if getattr(self, name) is not None and self.strategy != owner:
                raise InputError(
                    "E-GENERATE-OPTION",
                    f"{name} applies only to the strategy '{owner}', got '{self.strategy}'; remove"
                    f" {name}, or choose strategy '{owner}'",
                )
        for name in ("max_steps", "beams", "top_k"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError("E-GENERATE-OPTION", f"{name} is {value}; it must be at least 1")
        if self.temperature is not None and not (
            math.isfinite(self.temperature) and self.temperature > 0
        ):
            raise InputError(
                "E-GENERATE-OPTION", f"temperature is {self.temperature}; it must be positive"
            )

    def run(self, rows: TokenRows, first: Array, numbers: Sequence[int]) -> list[Generated]:
        """Generate a sequence for each row. numbers: the indices of the rows among all sources."""
        if self.strategy == "beam":
            return by_beams(rows, first, self.end, self.max_steps, self.beams or BEAMS)
        if self.strategy == "greedy":
            return one_by_one(rows, first, self.end, self.max_steps, likeliest)
        draw = drawn(self.temperature or 1.0, self.top_k, self.seed or 0, max(numbers) + 1)

        def choose(probabilities: Any, places: Sequence[int]) -> Array:
            return draw(probabilities, [numbers[place] for place in places])

        return one_by_one(rows, first, self.end, self.max_steps, choose)


def generate(
    load: Callable[[str], Runner],
    entries: Sequence[str],
    source: Feeds,
    options: GenerationOptions,
    prepare: Prepare = lambda feeds: feeds,
    why: str = "",
) -> list[Generated]:
    """Generate a sequence for each source or prompt.

    load: returns the runner of an entry point. entries: their names. prepare: converts raw feeds to
    inputs. why: the notes of the bundle, for the message that it cannot generate.
    """
    if ENCODE in entries and DECODE in entries:
        return _translated(load(ENCODE), load(DECODE), source, options, prepare)
    runner = load(STREAM) if STREAM in entries else None
    if runner is None or not runner.entry.chunked.ok:
        raise InputError(
            "E-GENERATE-NO-DECODER",
            "this bundle cannot generate sequences: it has no entry points encode and decode, and"
            f" no stream that runs in chunks{f' ({why})' if why else ''}; export a model with a"
            " decoder, or a language model that returns the next token",
        )
    return _continued(runner, source, options, prepare)


def _translated(
    encoder: Runner, decoder: Runner, source: Feeds, options: GenerationOptions, prepare: Prepare
) -> list[Generated]:
    given = fitted(encoder.entry, prepare(named(encoder.entry, source)))
    made = {tensor.name for tensor in encoder.entry.outputs}
    shared = {tensor.name for tensor in encoder.entry.inputs}
    spec = decoder_spec(decoder.entry, [*made, *shared])
    if options.start is None:
        raise InputError(
            "E-GENERATE-START",
            "expected the token that the decoder begins with: start=ID, as in the training",
        )
    _check_tokens(spec, options)
    states = {state.tensor.name for state in decoder.entry.states}
    memory = {tensor.name for tensor in decoder.entry.inputs if tensor.name in made | shared}

    def run(feeds: Mapping[str, Array], numbers: Sequence[int]) -> list[Generated]:
        values = {**feeds, **encoder.run(feeds)}
        count = len(numbers)
        rows = TokenRows(
            decoder,
            spec,
            {name: values[name] for name in memory},
            {name: values[name] for name in states if name in values},
            count,
        )
        return options.run(rows, np.full((count, 1), options.start), numbers)

    return _by_length(given, run)


def _continued(
    runner: Runner, source: Feeds, options: GenerationOptions, prepare: Prepare
) -> list[Generated]:
    spec = decoder_spec(runner.entry)
    _check_tokens(spec, options)
    given = fitted(runner.entry, prepare(named(runner.entry, source)))
    name = spec.token.name

    def run(feeds: Mapping[str, Array], numbers: Sequence[int]) -> list[Generated]:
        rows = TokenRows(runner, spec, {}, {}, len(numbers))
        prompt = feeds[name].argmax(axis=-1) if spec.one_hot else feeds[name]
        if options.start is not None:
            first = np.full((len(prompt), 1), options.start, prompt.dtype)
            prompt = np.concatenate([first, prompt], axis=1)
        return options.run(rows, prompt, numbers)

    return _by_length(given, run)


def _check_tokens(spec: DecoderSpec, options: GenerationOptions) -> None:
    for name, token, below in (
        ("start", options.start, spec.below),
        ("end", options.end, spec.tokens),
    ):
        if token is not None and not 0 <= token < below:
            raise InputError(
                "E-GENERATE-TOKEN",
                f"{name} is {token}; expected a token of the vocabulary, from 0 to {below - 1}",
            )
    if spec.below < spec.tokens:
        raise InputError(
            "E-GENERATE-VOCABULARY",
            f"output '{spec.output.name}' has {spec.tokens} tokens and input '{spec.token.name}'"
            f" takes {spec.below}; expected a model whose output tokens can be fed back",
        )


def _by_length(
    feeds: Mapping[str, Fitted],
    run: Callable[[Mapping[str, Array], Sequence[int]], list[Generated]],
) -> list[Generated]:
    """Run all sources, one length at a time; return the results in the order of the sources."""
    counts = {len(value) for value in feeds.values()}
    empty = [n for n, value in feeds.items() if not len(value) or not all(map(np.size, value))]
    if empty:
        raise InputError(
            "E-GENERATE-EMPTY-SOURCE",
            f"input '{empty[0]}': expected at least one sequence, of at least one step; remove the"
            " empty ones",
        )
    if len(counts) > 1:
        sizes = ", ".join(f"'{name}' has {len(value)}" for name, value in feeds.items())
        raise InputError("E-INPUT-BATCH", f"expected as many sequences in every input, but {sizes}")
    lengths: dict[tuple[int, ...], list[int]] = {}
    ragged = [name for name, value in feeds.items() if isinstance(value, list)]
    for row in range(counts.pop()):
        lengths.setdefault(tuple(len(feeds[name][row]) for name in ragged), []).append(row)
    found: dict[int, Generated] = {}
    for rows in lengths.values():
        part = {name: np.stack([value[row] for row in rows]) for name, value in feeds.items()}
        found |= zip(rows, run(part, rows), strict=True)
    return [found[row] for row in range(len(found))]
