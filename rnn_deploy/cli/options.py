"""One frozen dataclass per command in place of a long list of parameters.

    @dataclass(frozen=True)
    class FileOptions:                       # a field for each parameter, by click's name
        output: Path
        force: bool

        def __post_init__(self) -> None: ...  # raise InputError for values that do not fit

    @click.command("convert")
    @click.argument("model", type=click.Path(path_type=Path))
    @click.option("-o", "--output", ...)
    @click.option("--force", is_flag=True, ...)
    @grouped(FileOptions)
    def command(files: FileOptions, model: Path) -> None: ...

Several commands may share one dataclass. Put `grouped` below the click decorators.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from rnn_deploy.errors import InputError


def grouped(*kinds: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that builds one instance of each dataclass from click's parameters.

    The decorated function gets the instances as its first arguments, in the order of `kinds`, and
    the parameters that are a field of none of them as keywords. A field without a parameter keeps
    its default, so a command need not offer every field.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def command(**given: Any) -> Any:
            groups = [
                kind(
                    **{
                        f.name: given.pop(f.name)
                        for f in dataclasses.fields(kind)
                        if f.name in given
                    }
                )
                for kind in kinds
            ]
            return function(*groups, **given)

        return command

    return decorate


def _finite(context: click.Context, parameter: click.Parameter, value: float) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise InputError(
            "E-OPTION-SECONDS", f"--seconds {value}: expected a number of seconds, for instance 0.5"
        )
    return value


def opening_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of Opening, for a command that opens a model."""
    options = (
        click.option("--trust-source", is_flag=True, help="Allow code in the model's file to run."),
        click.option(
            "--weights",
            metavar="W.h5",
            help="The weights of a model whose file contains only the layers (.json).",
        ),
        click.option(
            "--model-from",
            metavar="FILE.py[:FUNCTION]",
            help="Build the model with this function, build_model by default, and take only the"
            " weights from the model's file.",
        ),
        click.option(
            "--custom",
            multiple=True,
            type=click.Path(path_type=Path),
            metavar="FILE.py",
            help="A Python file that defines classes or functions which the model's file needs; may"
            " be repeated.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


seconds_option = click.option(
    "--seconds",
    default=0.5,
    show_default=True,
    callback=_finite,
    help="Measure each contender at each shape for this long.",
)
