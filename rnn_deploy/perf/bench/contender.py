"""What can be measured, as data: it is opened in a process of its own, so it must travel."""

from dataclasses import dataclass
from pathlib import Path

from rnn_deploy.spec import SEQUENCE
from rnn_deploy.spec.shapes import Shape


@dataclass(frozen=True)
class Contender:
    """One thing to measure.

    kind: how it is opened, a key of `opening.OPENERS`. path: of the bundle or of the peer's file.
    runtime: of a bundle. threads: within an operator, None leaves it to the runtime.
    only: the one shape that it can be run at. entry, session: of a bundle, as in RunOptions.
    steps: the one number of steps that it takes.
    """

    name: str
    kind: str
    path: str
    runtime: str = ""
    threads: int | None = None
    only: Shape | None = None
    entry: str = SEQUENCE
    session: tuple[tuple[str, str], ...] = ()
    steps: int | None = None

    def fits(self, shape: Shape) -> bool:
        """Whether it can be run at a shape."""
        return self.only in (None, shape) and self.steps in (None, shape.time)


def of_bundle(
    root: Path, runtime: str, threads: int | None, name: str = "", entry: str = SEQUENCE
) -> Contender:
    """A bundle's entry point on a runtime."""
    return Contender(name or runtime, "bundle", str(root), runtime, threads, entry=entry)
