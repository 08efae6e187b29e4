"""`rnn-deploy package`: turn a bundle into files for one destination."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from rnn_deploy.bundle import open_bundle
from rnn_deploy.cli.console import data, say
from rnn_deploy.cli.options import grouped
from rnn_deploy.packaging.base import SWITCHED_ON
from rnn_deploy.packaging.registry import all_options, all_packagers, packager_named
from rnn_deploy.packaging.writing import refuse_output, write_package, write_single_file


@dataclass(frozen=True)
class PackageRequest:
    """The parameters of `package` that every packager has."""

    bundle: Path
    packager: str
    output: Path
    force: bool
    as_json: bool


def _options_of_packagers(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add every option that a packager declares; without a value it is None."""
    for option, users in reversed(all_options().values()):
        default = f"; default: {option.default}" if option.default else ""
        shown = f"{option.help}  [{', '.join(users)}{default}]"
        kind: dict[str, Any] = {"metavar": "TEXT"}
        if option.switch:
            kind = {"is_flag": True, "flag_value": SWITCHED_ON, "default": None, "type": str}
        command = click.option(option.flag, help=shown, **kind)(command)
    return command


@click.command("package")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--for",
    "packager",
    required=True,
    metavar="NAME",
    help="; ".join(f"{name}: {packager.help}" for name, packager in all_packagers().items()) + ".",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The new folder, or the file of a package that is one file.",
)
@_options_of_packagers
@click.option("--force", is_flag=True, help="Replace an existing package.")
@click.option("--json", "as_json", is_flag=True, help="Print the paths of the files.")
@grouped(PackageRequest)
def command(request: PackageRequest, **given: str | None) -> None:
    """Turn BUNDLE into files for one destination. Needs no TensorFlow."""
    packager = packager_named(request.packager)
    refuse_output(request.output, force=request.force)
    bundle = open_bundle(request.bundle)
    options = {name: value for name, value in given.items() if value is not None}
    made = packager.package(bundle, options)
    if made.single:
        (content,) = made.files.values()
        write_single_file(content, request.output, force=request.force)
    else:
        write_package(packager, bundle, made.files, request.output, force=request.force)
    if request.as_json:
        data(json.dumps(list(made.files)))
    sizes = ", ".join(f"{path} {len(content):,} B" for path, content in made.files.items())
    say(f"wrote {request.output}: {sizes}")
    for note in made.notes:
        say(f"note: {note}")
