"""One thing to measure, as plain data that can be sent to another process."""

from dataclasses import dataclass
from pathlib import Path

from rnn_deploy.spec import SEQUENCE
from rnn_deploy.spec.shapes import Shape


@dataclass(frozen=True)
class Contender:
    """One thing to measure.

    kind: how to open it, a key of `opening.OPENERS`. path: of the bundle or the peer's file.
    threads: within an operator; None lets the runtime choose. only: the one shape at which it can
    run, None for any. steps: the one number of steps that it accepts, None for any. For bundles:
    runtime, by its name; entry and session as in RunOptions.
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
        """Return whether it can run at a shape."""
        return self.only in (None, shape) and self.steps in (None, shape.time)


def of_bundle(
    root: Path, runtime: str, threads: int | None, name: str = "", entry: str = SEQUENCE
) -> Contender:
    """Return a bundle's entry point on a runtime as a contender."""
    return Contender(name or runtime, "bundle", str(root), runtime, threads, entry=entry)
