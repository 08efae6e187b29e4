"""Find by trial which of a model's inputs must be equally long.

Inputs with an open number of steps are traced with unique lengths; if the model refuses, some of
them are tied. Tied inputs share one symbol.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from rnn_deploy.keras.probing import takes_lengths
from rnn_deploy.keras.signature import TIME, Signature, with_time
from rnn_deploy.spec import TensorSpec

Groups = Sequence[tuple[str, ...]]


def with_tied_lengths(model: Any, signature: Signature) -> Signature:
    """Return the signature with one symbol for inputs that must be equally long."""
    names = [tensor.name for tensor in signature.inputs if has_open_length(tensor)]
    if len(names) < 2 or takes_lengths(model, signature):
        return signature
    free = [name for name in names if _takes(model, signature, [(name,), _without(name, names)])]
    tied = [name for name in names if name not in free]
    alone = [(name,) for name in free]
    for groups in _groupings(tied):
        if len(groups) == 1 or _takes(model, signature, [*alone, *groups]):
            return _with_groups(signature, [*alone, *groups])
    return _with_groups(signature, [tuple(names)])  # any one of them could differ, but not all


def has_open_length(tensor: TensorSpec) -> bool:
    """Return whether the number of steps of an input is open."""
    return len(tensor.shape) > 1 and isinstance(tensor.shape[1], str)


def _takes(model: Any, signature: Signature, groups: Groups) -> bool:
    return takes_lengths(model, _with_groups(signature, groups))


def _with_groups(signature: Signature, groups: Groups) -> Signature:
    first = {name: group[0] for group in groups for name in group}

    def symbol(tensor: TensorSpec) -> int | str:
        if tensor.name not in first:
            return tensor.shape[1]
        return TIME if len(groups) == 1 else f"{first[tensor.name]}_{TIME}"

    return with_time(signature, symbol)


def _without(name: str, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(other for other in names if other != name)


def _groupings(names: Sequence[str]) -> list[list[tuple[str, ...]]]:
    """Return every way to divide `names` into groups of two and more, most groups first."""
    return sorted(_parted(names), key=len, reverse=True)


def _parted(names: Sequence[str]) -> Iterator[list[tuple[str, ...]]]:
    if not names:
        yield []
        return
    first, *others = names
    for chosen in range(1, 1 << len(others)):
        group = [other for bit, other in enumerate(others) if chosen >> bit & 1]
        rest = [other for other in others if other not in group]
        yield from ([(first, *group), *more] for more in _parted(rest))
