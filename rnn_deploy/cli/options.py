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

Several commands may share one dataclass. `grouped` stands below the click decorators.
"""

import dataclasses
from collections.abc import Callable
from functools import wraps
from typing import Any


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
