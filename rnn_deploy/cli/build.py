"""`rnn-deploy build`: run a model file and keep the Keras model it makes."""

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
    help="Where to write the model: .keras or .h5.",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
def command(file: str, output: Path, force: bool) -> None:
    """Build the model of FILE, a Python file with a function build_model().

    FILE:NAME calls the function NAME instead. The file is your own code and is run.
    """
    if output.suffix not in (".keras", ".h5"):
        raise InputError(f"{output}: the model's file must end in .keras or .h5")
    refuse_existing(output, force=force)
    path, _, name = file.partition(":")
    builder = _builder(load_module(Path(path)), name or "build_model")
    from rnn_deploy.keras.tensorflow import keras

    try:
        model = builder()
    except (Exception, SystemExit) as error:
        raise InputError(f"{file}: building the model failed: {_said(error)}") from error
    if not isinstance(model, keras.Model):
        raise InputError(f"{file}: gave {type(model).__name__}, expected a keras.Model")
    if not model.built:
        raise InputError(
            f"{file}: model '{model.name}' has no weights yet; begin it with keras.Input, or"
            " call it once"
        )
    with writing_file(output, force=force) as draft:
        model.save(draft)
    say(f"wrote {output}: model '{model.name}', {model.count_params():,} parameters")


def load_module(path: Path) -> ModuleType:
    """Import a model file by its path."""
    if not path.is_file() or path.suffix != ".py":
        raise InputError(f"{path}: no such Python file; give one with a function build_model()")
    spec = importlib.util.spec_from_file_location(f"rnn_deploy_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever the user's code raises is the user's
        raise InputError(f"{path}: cannot be imported: {_said(error)}") from error
    return module


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {one_line(error)}; rnn-deploy --debug build shows where"


def _builder(module: ModuleType, name: str) -> Callable[[], Any]:
    builder = getattr(module, name, None)
    if not callable(builder):
        raise InputError(f"{module.__file__}: has no function {name}()")
    found: Callable[[], Any] = builder
    return found
