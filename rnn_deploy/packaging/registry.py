"""Packagers by name: the built-in ones, and those that other packages register.

Another package adds a packager with a Python entry point that names its `Packager`:

    [project.entry-points."rnn_deploy.packagers"]
    mypackager = "my_package.packager:PACKAGER"
"""

import importlib
from functools import cache
from importlib.metadata import entry_points

from rnn_deploy.errors import InputError
from rnn_deploy.packaging.base import Packager, PackagerOption

GROUP = "rnn_deploy.packagers"
# Modules with a PACKAGER.
BUILT_IN = {"c": "rnn_deploy.packaging.c.packager"}


@cache
def all_packagers() -> dict[str, Packager]:
    """Return every packager by name. Raise InputError for a registered one that does not load."""
    found = {name: importlib.import_module(place).PACKAGER for name, place in BUILT_IN.items()}
    for point in entry_points(group=GROUP):
        try:
            packager = point.load()
        except Exception as error:  # another package's code may raise anything
            raise _refused(point.name, f"it cannot be imported ({error})") from error
        if not isinstance(packager, Packager) or packager.name != point.name:
            raise _refused(point.name, f"{point.value} is not a Packager of this name")
        if point.name in found:
            raise _refused(point.name, "the name is taken")
        found[point.name] = packager
    return found


def packager_named(name: str) -> Packager:
    """Return the packager called `name`. Raise InputError, which lists all names, for another."""
    if name not in all_packagers():
        names = ", ".join(all_packagers())
        raise InputError("E-OPTION-PACKAGER", f"unknown packager '{name}'; choose from: {names}")
    return all_packagers()[name]


def all_options() -> dict[str, tuple[PackagerOption, tuple[str, ...]]]:
    """Return every option of a packager by name, with the names of the packagers that have it."""
    options: dict[str, tuple[PackagerOption, tuple[str, ...]]] = {}
    for name, packager in all_packagers().items():
        for option in packager.options:
            first, users = options.get(option.name, (option, ()))
            options[option.name] = first, (*users, name)
    return options


def _refused(name: str, why: str) -> InputError:
    return InputError(
        "E-OPTION-PACKAGER-PLUGIN",
        f"packager '{name}', registered by another package, cannot be used: {why}; uninstall or"
        " correct that package",
    )
