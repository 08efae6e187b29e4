"""Packagers by name: the built-in ones, and those that other packages register.

Another package adds a packager with a Python entry point that names its `Packager`:

    [project.entry-points."rnn_deploy.packagers"]
    mypackager = "my_package.packager:PACKAGER"
"""

from functools import cache

from rnn_deploy.errors import InputError
from rnn_deploy.packaging.base import Packager, PackagerOption
from rnn_deploy.plugins import registered

GROUP = "rnn_deploy.packagers"
# Modules with a PACKAGER.
BUILT_IN = {
    "c": "rnn_deploy.packaging.c.packager",
    "triton": "rnn_deploy.packaging.triton.packager",
    "python": "rnn_deploy.packaging.starter.python",
    "cpp": "rnn_deploy.packaging.starter.cpp",
    "android": "rnn_deploy.packaging.starter.android",
    "ios": "rnn_deploy.packaging.starter.ios",
    "web": "rnn_deploy.packaging.web.packager",
}


@cache
def all_packagers() -> dict[str, Packager]:
    """Return every packager by name. Raise InputError for a registered one that does not load."""
    return registered(Packager, GROUP, BUILT_IN, _refused)


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
