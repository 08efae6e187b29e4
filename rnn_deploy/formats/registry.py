"""Formats by name: the built-in ones, and those that other packages register.

Another package adds a format with a Python entry point that names its `Format`:

    [project.entry-points."rnn_deploy.formats"]
    myformat = "my_package.format:FORMAT"
"""

from functools import cache

from rnn_deploy.errors import InputError
from rnn_deploy.formats.base import Format, FormatOption
from rnn_deploy.plugins import registered

GROUP = "rnn_deploy.formats"
# Modules with a FORMAT, in the order in which files are written.
BUILT_IN = {
    "onnx": "rnn_deploy.onnx.format",
    "tflite": "rnn_deploy.tflite.format",
    "tflite-micro": "rnn_deploy.tflite.micro.format",
    "c": "rnn_deploy.c.format",
}


@cache
def all_formats() -> dict[str, Format]:
    """Return every format by name. Raise InputError for a registered one that does not load."""
    return registered(Format, GROUP, BUILT_IN, _refused)


def format_named(name: str) -> Format:
    """Return the format called `name`. Raise InputError, which lists all names, if unknown."""
    if name not in all_formats():
        names = ", ".join(all_formats())
        raise InputError("E-FORMAT-UNKNOWN", f"unknown format '{name}'; choose from: {names}")
    return all_formats()[name]


def default_formats() -> tuple[str, ...]:
    """Return the names of the formats that are written when none is requested."""
    return tuple(name for name, format in all_formats().items() if format.by_default)


def all_options() -> dict[str, tuple[FormatOption, tuple[str, ...]]]:
    """Return every option that formats declare, by name, with the names of these formats."""
    options: dict[str, tuple[FormatOption, tuple[str, ...]]] = {}
    for name, format in all_formats().items():
        for option in format.options:
            first, users = options.get(option.name, (option, ()))
            if first != option:
                raise _refused(name, f"'{users[0]}' has another option {option.flag}")
            options[option.name] = option, (*users, name)
    return options


def quantize_modes() -> dict[str, tuple[str, ...]]:
    """Return every quantisation mode with the names of the formats that know it."""
    known = [(mode, name) for name, format in all_formats().items() for mode in format.quantize]
    modes = dict.fromkeys(mode for mode, _ in known)
    return {mode: tuple(name for found, name in known if found == mode) for mode in modes}


def _refused(name: str, why: str) -> InputError:
    return InputError(
        "E-FORMAT-PLUGIN",
        f"format '{name}', registered by another package, cannot be used: {why}; uninstall or"
        " correct that package",
    )
