"""Load objects by name: built-in ones, and those that other packages register."""

import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Protocol, TypeVar

from rnn_deploy.errors import InputError


class Named(Protocol):
    """An object that is registered under its name."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


def registered(
    kind: type[T],
    group: str,
    built_in: Mapping[str, str],
    refused: Callable[[str, str], InputError],
) -> dict[str, T]:
    """Return every object of `kind` by name, the built-in ones first.

    group: the group of entry points. built_in: the modules with an object, whose name is that of
    its class in capitals. refused: makes the error from a name and a reason. That error is raised
    for an object that cannot be imported, has another kind or name, or a name that is taken.
    """
    constant = kind.__name__.upper()
    found: dict[str, T] = {
        name: getattr(importlib.import_module(place), constant) for name, place in built_in.items()
    }
    for point in entry_points(group=group):
        try:
            loaded = point.load()
        except Exception as error:  # another package's code may raise any exception
            raise refused(point.name, f"it cannot be imported ({error})") from error
        if not isinstance(loaded, kind) or loaded.name != point.name:
            reason = f"{point.value} is not a {kind.__name__} of this name"
            raise refused(point.name, reason)
        if point.name in found:
            raise refused(point.name, "the name is taken")
        found[point.name] = loaded
    return found
