"""The user's classes and functions that a file needs: registered, in scope, or in Python files."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from rnn_deploy.errors import InputError
from rnn_deploy.keras import compat
from rnn_deploy.keras.keras2.user_imports import keras_is_keras_2, use_keras_2
from rnn_deploy.user_code import defined_in, load_module


def user_classes(files: Sequence[str | Path], *, keras2: bool = False) -> dict[str, Any]:
    """Return the user's classes and functions by name.

    files: Python files that define some. keras2: `keras` in these files means tf_keras. The result
    includes classes that are registered with Keras or in an open custom_object_scope.
    """
    registered = compat.custom_objects()
    named: dict[str, Any] = {}
    for file in files:
        named |= defined_in(_imported(Path(file), keras2=keras2))
    # A file may register its classes under other names.
    return {**registered, **compat.custom_objects(), **named}


def _imported(file: Path, *, keras2: bool) -> ModuleType:
    if not keras2:
        return load_module(file)
    try:
        with keras_is_keras_2():
            module = load_module(file)
    except InputError as error:
        try:
            return load_module(file)  # a function may need Keras 3; a missing class is named later
        except InputError:
            raise error from None
    use_keras_2(module)
    return module
