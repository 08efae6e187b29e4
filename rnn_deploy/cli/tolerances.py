"""Tolerances on the command line: `--atol 1e-5`, `--rtol y=1e-6`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import click

from rnn_deploy.errors import InputError
from rnn_deploy.verifying.judge.tolerance import ALL, UserTolerance


@dataclass(frozen=True)
class ToleranceOptions:
    """The values of --atol and --rtol; see `tolerance_options`."""

    atol: tuple[str, ...]
    rtol: tuple[str, ...]

    @cached_property
    def tolerance(self) -> UserTolerance:
        """Return the tolerance of the options; raise InputError for invalid values."""
        return UserTolerance(
            tolerances_from("--atol", self.atol), tolerances_from("--rtol", self.rtol)
        )


def tolerance_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of ToleranceOptions to a command."""
    atol = click.option(
        "--atol",
        multiple=True,
        metavar="[NAME=]E",
        help="Allow an absolute error of E instead of the derived budget, for every tensor or for"
        " the output or state NAME. Can be repeated.",
    )
    rtol = click.option(
        "--rtol",
        multiple=True,
        metavar="[NAME=]E",
        help="Allow an error of E relative to each true value; added to --atol.",
    )
    return atol(rtol(command))


def tolerances_from(option: str, values: Sequence[str]) -> dict[str, float]:
    """Parse NAME=E, or E for ALL; raise InputError if a number is invalid or a name repeated."""
    tolerances: dict[str, float] = {}
    for value in values:
        name, equals, number = value.rpartition("=")
        key = name if equals else ALL
        if key in tolerances:
            raise InputError(
                "E-OPTION-TWICE",
                f"{option} is given twice for {name or 'all tensors'}; give it once for each name",
            )
        try:
            tolerances[key] = float(number)
        except ValueError:
            raise InputError(
                "E-VERIFY-TOLERANCE",
                f"{option} {value}: '{number}' is not a number; give one, such as 1e-5 or y=1e-5",
            ) from None
    return tolerances
