"""Options that open a model file: weights, a builder function, custom classes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Opening:
    """The options of everything that opens a model.

    trust_source: allow the file's own code (a Lambda layer). weights: a file with the weights, for
    a file that contains only the layers. model_from: FILE.py:FUNCTION, or a function, that
    builds the model whose weights the file contains. custom: Python files that define the classes
    and functions which the file needs.
    """

    trust_source: bool = False
    weights: str | Path | None = None
    model_from: str | Path | Callable[[], Any] | None = None
    custom: Sequence[str | Path] = ()
