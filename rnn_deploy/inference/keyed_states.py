"""States by key: choose those of the given sequences, and keep the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from rnn_deploy.errors import InputError
from rnn_deploy.runtimes.feeds import zero_states
from rnn_deploy.spec import Array, EntryPoint


@dataclass(frozen=True)
class KeyedStates:
    """States by input name, (rows, units), and the key of each row; None if rows have no keys."""

    states: dict[str, Array]
    keys: Sequence[Any] | None = None

    @classmethod
    def empty(cls) -> Self:
        """Return no states at all."""
        return cls({}, ())

    def joined(self, states: Mapping[str, Any], keys: Sequence[Any] | None) -> "KeyedStates":
        """Return `states`, followed by these."""
        new = {name: np.asarray(value) for name, value in states.items()}
        if keys is None or not self.keys:
            return KeyedStates(new, keys)
        both = {name: np.concatenate([value, self.states[name]]) for name, value in new.items()}
        return KeyedStates(both, (*keys, *self.keys))


@dataclass(frozen=True)
class ChosenStates:
    """The states of the given sequences. new: keys without a state. rest: all other states."""

    states: dict[str, Array]
    rest: KeyedStates
    new: tuple[str, ...] = ()


def choose(
    found: KeyedStates, keys: Sequence[str] | None, entry: EntryPoint, where: str
) -> ChosenStates:
    """Return the states in the order of `keys`, zero for keys that have none.

    Raises InputError if only one of the file and the inputs has keys.
    """
    if keys is None and found.keys is None:
        return ChosenStates(found.states, KeyedStates.empty())
    if keys is None or found.keys is None:
        has, lacks = ("the inputs", where) if found.keys is None else (where, "the inputs")
        raise InputError(
            "E-STATE-KEYS",
            f"{has} have a key for each sequence, and {lacks} have none, so the states cannot be"
            " matched; give --id for both calls, or for neither",
        )
    rows = {str(key): row for row, key in enumerate(found.keys)}
    zero = zero_states(entry, 1)
    for name, value in found.states.items():
        if value.shape[1:] != zero[name].shape[1:] or value.dtype != zero[name].dtype:
            raise InputError(
                "E-STATE-SHAPE",
                f"{where}: state '{name}' is {value.dtype}{value.shape}, expected rows of"
                f" {zero[name].dtype}{zero[name].shape[1:]}",
            )
    states = {
        name: np.concatenate([v[rows[k]][None] if k in rows else zero[name] for k in keys])
        for name, v in found.states.items()
    }
    others = [row for key, row in rows.items() if key not in keys]
    rest = {name: value[others] for name, value in found.states.items()}
    new = tuple(key for key in keys if key not in rows)
    return ChosenStates(states, KeyedStates(rest, [found.keys[row] for row in others]), new)
