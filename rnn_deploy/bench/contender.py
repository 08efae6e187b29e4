"""What can be measured, as data: it is opened in a process of its own, so it must travel."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnn_deploy.shapes import Shape


@dataclass(frozen=True)
class Contender:
    """One thing to measure.

    kind: how it is opened, a key of `opening.OPENERS`. path: of the bundle or of the peer's file.
    runtime: of a bundle. threads: within an operator, None leaves it to the runtime.
    only: the one shape that it can be run at.
    """

    name: str
    kind: str
    path: str
    runtime: str = ""
    threads: int | None = None
    only: Shape | None = None


def of_bundle(root: Path, runtime: str, threads: int | None, name: str = "") -> Contender:
    """A bundle's entry point `sequence` on a runtime."""
    return Contender(name or runtime, "bundle", str(root), runtime, threads)


def data_from(contender: Contender) -> dict[str, Any]:
    """Plain data that JSON can hold."""
    return dataclasses.asdict(contender)


def contender_from(data: Mapping[str, Any]) -> Contender:
    """What `data_from` gave."""
    only = data["only"]
    return Contender(**{**data, "only": None if only is None else Shape(**only)})
