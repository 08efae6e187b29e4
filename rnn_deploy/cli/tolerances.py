"""Tolerances on the command line: `--atol 1e-5`, `--rtol y=1e-6`."""

from collections.abc import Sequence

import click

from rnn_deploy.errors import InputError
from rnn_deploy.verifying.judge.tolerance import ALL

atol_option = click.option(
    "--atol",
    multiple=True,
    metavar="[NAME=]E",
    help="Allow an absolute error of E in place of the derived budget; for all or for one output"
    " or state, may be given several times.",
)
rtol_option = click.option(
    "--rtol",
    multiple=True,
    metavar="[NAME=]E",
    help="The same relative to each true value; with --atol their sum.",
)


def tolerances_from(option: str, words: Sequence[str]) -> dict[str, float]:
    """NAME=E by name, E under ALL; InputError for what is no number, or given twice."""
    found: dict[str, float] = {}
    for word in words:
        name, equals, number = word.rpartition("=")
        key = name if equals else ALL
        if key in found:
            raise InputError(f"{option} is given twice for {name or 'all'}")
        try:
            found[key] = float(number)
        except ValueError:
            raise InputError(
                f"{option} {word}: '{number}' is no number; give one, such as 1e-5 or y=1e-5"
            ) from None
    return found
