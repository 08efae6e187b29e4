"""The user's own Python files: FILE.py with classes, and FILE.py:FUNCTION that builds a model."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from rnn_deploy.errors import InputError, one_line


def builder_in(file: str) -> Callable[[], Any]:
    """Return the function that `file` names: FILE:NAME, or build_model in FILE."""
    path, _, name = file.rpartition(":")
    if not name.isidentifier():  # there is no colon, or it follows a drive letter
        path, name = file, "build_model"
    module = load_module(Path(path))
    builder = getattr(module, name, None)
    if not callable(builder):
        raise InputError(
            "E-SOURCE-NO-FUNCTION",
            f"{path}: has no function {name}(); define it, or name another: {path}:FUNCTION",
        )
    found: Callable[[], Any] = builder
    return found


def built_by(builder: Callable[[], Any], name: str) -> Any:
    """Call a user's function that builds a model; raise InputError if it raises."""
    try:
        return builder()
    except (Exception, SystemExit) as error:
        raise InputError(
            "E-SOURCE-BUILD", f"{name}: building the model failed: {_reason(error)}"
        ) from error


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
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise InputError(
            "E-SOURCE-IMPORT", f"{path}: cannot be imported: {_reason(error)}"
        ) from error
    return module


def defined_in(module: ModuleType) -> dict[str, Any]:
    """Return the classes and functions that a module itself defines, by name."""
    return {
        name: value
        for name, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", None) == module.__name__
    }


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {one_line(error)}; add --debug to see where"
