"""The next token by a model: rows of sequences that advance side by side.

    DecoderSpec   how an entry point takes tokens, and which output is the distribution
    TokenRows     memory and states of several sequences; rows can be chosen, repeated and dropped

An encoder-decoder model advances by `decode`, a language model by `stream`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.runtimes.base import BindableRunner, BoundRunner, Runner
from rnn_deploy.runtimes.feeds import zero_states
from rnn_deploy.spec import DECODE, Array, EntryPoint, TensorSpec

Shapes = dict[str, tuple[int, ...]]
NEAR_ONE = 1e-2  # how far the sum of a distribution may be from one


@dataclass(frozen=True)
class DecoderSpec:
    """How an entry point takes tokens and returns the distribution of the next one.

    token: the input of token ids, or of one-hot vectors. output: the distribution, (batch, time,
    tokens) or (batch, tokens). tokens: how many tokens the output has. attention: outputs with a
    weight for each step of the source.
    """

    token: TensorSpec
    output: TensorSpec
    tokens: int
    attention: tuple[str, ...]

    @property
    def one_hot(self) -> bool:
        """Return whether the input takes one-hot vectors and not ids."""
        return len(self.token.shape) == 3

    @property
    def below(self) -> int:
        """The number of tokens that the input takes."""
        if self.one_hot:
            return int(self.token.shape[2])
        return self.tokens if self.token.below is None else self.token.below

    def fed(self, ids: Array) -> Array:
        """Return token ids (batch, time) as the input takes them."""
        if self.one_hot:
            return np.eye(self.below, dtype=self.token.dtype)[ids]
        return ids.astype(self.token.dtype, copy=False)


def decoder_spec(entry: EntryPoint, memory: Sequence[str] = ()) -> DecoderSpec:
    """Return how tokens are generated with an entry point.

    memory: the inputs that the encoder computes. Raise InputError if the entry point has several
    other inputs, or no output or several outputs that can be a distribution of tokens.
    """
    targets = [tensor for tensor in entry.inputs if tensor.name not in memory]
    if len(targets) != 1:
        names = ", ".join(tensor.name for tensor in targets)
        raise InputError(
            "E-GENERATE-INPUTS",
            f"expected one input of tokens in '{entry.name}', got {names}; feed the decoder"
            " yourself: runner = model.runner('decode')",
        )
    (token,) = targets
    ids = len(token.shape) == 2 and (token.below is not None or token.dtype.startswith("int"))
    one_hot = len(token.shape) == 3 and isinstance(token.shape[2], int)
    found = [tensor for tensor in entry.outputs if _may_be_tokens(tensor)]
    fitting = [t for t in found if not one_hot or t.shape[-1] == token.shape[2]]
    if not (ids or one_hot) or len(fitting) != 1:
        outputs = "; ".join(map(str, entry.outputs))
        raise InputError(
            "E-GENERATE-NOT-DISTRIBUTION",
            f"input '{token}' and outputs {outputs}: expected an input of token ids or one-hot"
            " vectors, and one output with the probability of every token, (batch, time, tokens);"
            " end the model with a softmax over the tokens",
        )
    (output,) = fitting
    rest = [t for t in entry.outputs if t is not output and len(t.shape) > 2]
    attention = tuple(t.name for t in rest if entry.name == DECODE and _over_source(t))
    return DecoderSpec(token, output, int(output.shape[-1]), attention)


def _may_be_tokens(tensor: TensorSpec) -> bool:
    last = tensor.shape[-1]
    return len(tensor.shape) in (2, 3) and isinstance(last, int) and last > 1


def _over_source(tensor: TensorSpec) -> bool:
    return isinstance(tensor.shape[-1], str)


class TokenRows:
    """Sequences that advance side by side.

    runner: of the entry point. memory: inputs that stay the same from step to step, one row for
    each sequence. states: by input name; missing ones are zero. After two steps of the same shapes
    the states stay in the runner's own memory, if the runner can be bound.
    """

    def __init__(
        self, runner: Runner, spec: DecoderSpec, memory: Mapping[str, Array],
        states: Mapping[str, Array], rows: int,
    ) -> None:  # fmt: skip
        entry = runner.entry
        self._runner, self.spec = runner, spec
        self._states = zero_states(entry, rows) | dict(states)
        self._inputs = [tensor.name for tensor in entry.inputs]
        self._given = [memory.get(name) for name in self._inputs]  # None in place of the tokens
        outputs = [tensor.name for tensor in entry.outputs]
        self._wanted = [outputs.index(name) for name in (spec.output.name, *spec.attention)]
        self._outputs = outputs
        self._bound: BoundRunner | None = None  # if set, it has the states
        self._before: Shapes = {}
        self._checked = False

    def advance(self, ids: Array) -> tuple[Array, dict[str, Array]]:
        """Feed tokens (rows, time); return the probabilities of the next token, and attention.

        Raise InputError if the output is no distribution.
        """
        tokens = self.spec.fed(ids)
        arrays = [tokens if given is None else given for given in self._given]
        if self._bound is not None and self._bound.takes(arrays):
            results = self._bound.step(arrays)
        else:
            results = self._run(dict(zip(self._inputs, arrays, strict=True)))
        value, *looks = (results[index] for index in self._wanted)
        last = value[:, -1] if value.ndim == 3 else value
        if not self._checked:
            self._check(last)
        if not looks:
            return last, {}
        pairs = zip(self.spec.attention, looks, strict=True)
        return last, {name: np.take(look, -1, axis=look.ndim - 2) for name, look in pairs}

    def _run(self, feeds: Mapping[str, Array]) -> list[Array]:
        self._release()
        results = self._runner.run({**feeds, **self._states})
        self._states = {s.tensor.name: results[s.next_name] for s in self._runner.entry.states}
        moved = {name: results[name] for name in self._outputs}
        shapes = {n: v.shape for n, v in (*feeds.items(), *moved.items(), *self._states.items())}
        if shapes == self._before and isinstance(self._runner, BindableRunner):
            self._bound = self._runner.bound(shapes)
            if self._bound is not None:
                self._bound.states = self._states
        self._before = shapes
        return list(moved.values())

    def choose(self, rows: Array) -> None:
        """Keep these rows, in this order; a row may occur several times."""
        self._release()
        self._given = [None if given is None else given[rows] for given in self._given]
        self._states = {name: value[rows] for name, value in self._states.items()}

    def reorder(self, rows: Array) -> None:
        """Choose as many rows as there are; each has the same memory as the row it replaces."""
        if self._bound is not None:
            self._bound.states = {name: value[rows] for name, value in self._bound.states.items()}
        else:
            self._states = {name: value[rows] for name, value in self._states.items()}

    def _release(self) -> None:
        """Take the states from the bound runner."""
        if self._bound is not None:
            self._states, self._bound = self._bound.states, None

    def _check(self, values: Array) -> None:
        sums = values.sum(axis=-1)
        if values.min() < 0 or not (np.abs(sums - 1) < NEAR_ONE).all():
            raise InputError(
                "E-GENERATE-NOT-DISTRIBUTION",
                f"output '{self.spec.output.name}' is no distribution: its values are from"
                f" {values.min():.3g} to {values.max():.3g} with a sum of {sums.flat[0]:.3g},"
                " expected probabilities with the sum 1; end the model with a softmax",
            )
        self._checked = True
