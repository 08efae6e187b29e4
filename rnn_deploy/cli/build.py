"""`rnn-deploy build`: run a model file and save the Keras model that it returns."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from rnn_deploy.bundle.store import refuse_existing, writing_file
from rnn_deploy.cli.console import say
from rnn_deploy.errors import InputError, one_line


@click.command("build")
@click.argument("file")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="File for the model: .keras or .h5.",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
def command(file: str, output: Path, force: bool) -> None:
    """Build the model of FILE, a Python file with a function build_model().

    FILE:NAME calls the function NAME instead. The file is your own code and is run.
    """
    if output.suffix not in (".keras", ".h5"):
        raise InputError("E-OPTION-ENDING", f"{output}: must end in .keras or .h5")
    refuse_existing(output, force=force)
    builder = builder_in(file)
    from rnn_deploy.keras.tensorflow import keras

    try:
        model = builder()
    except (Exception, SystemExit) as error:
        raise InputError(
            "E-SOURCE-BUILD", f"{file}: building the model failed: {_reason(error)}"
        ) from error
    if not isinstance(model, keras.Model):
        raise InputError(
            "E-SOURCE-NO-MODEL", f"{file}: returned {type(model).__name__}, expected a keras.Model"
        )
    if not model.built:
        raise InputError(
            "E-SOURCE-NOT-BUILT",
            f"{file}: model '{model.name}' has no weights yet; start it with keras.Input, or call"
            " it once",
        )
    with writing_file(output, force=force) as draft:
        model.save(draft)
    say(f"wrote {output}: model '{model.name}', {model.count_params():,} parameters")


def builder_in(file: str) -> Callable[[], Any]:
    """Return the function that `file`, FILE or FILE:NAME, names; its default is build_model."""
    path, _, name = file.rpartition(":")
    if not name.isidentifier():  # no colon, or the one after a drive letter
        path, name = file, "build_model"
    module = load_module(Path(path))
    builder = getattr(module, name, None)
    if not callable(builder):
        raise InputError(
            "E-SOURCE-NO-FUNCTION",
            f"{path}: has no function {name}(); define it, or name another: FILE:NAME",
        )
    found: Callable[[], Any] = builder
    return found


def load_module(path: Path) -> ModuleType:
    """Import a Python file by its path."""
    if not path.is_file() or path.suffix != ".py":
        raise InputError(
            "E-SOURCE-NO-PYTHON",
            f"{path}: no such Python file; give one with a function build_model()",
        )
    spec = importlib.util.spec_from_file_location(f"rnn_deploy_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError("E-SOURCE-NO-PYTHON", f"{path}: cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever the user's code raises is the user's
        raise InputError(
            "E-SOURCE-IMPORT", f"{path}: cannot be imported: {_reason(error)}"
        ) from error
    return module


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {one_line(error)}; rnn-deploy --debug build shows where"
