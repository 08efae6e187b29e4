"""The parameters of `rnn-deploy run`, and how they may be combined."""

from dataclasses import dataclass
from pathlib import Path

from rnn_deploy.errors import InputError
from rnn_deploy.inference.lengths import Side
from rnn_deploy.inference.tables import TableRules


@dataclass(frozen=True)
class RunRequest:
    """The parameters of `run`."""

    bundle: Path
    inputs: Path
    output: Path | None
    runtime: str | None
    threads: int | None
    batch_size: int | None
    option: tuple[str, ...]
    chunk: int | None
    state_in: Path | None
    state_out: Path | None
    state_any_bundle: bool
    force: bool
    id: str | None
    time: str | None
    features: str | None
    pad: Side | None
    window: int | None
    step: int | None
    top: int | None

    def __post_init__(self) -> None:
        if self.step is not None and self.window is None:
            raise InputError("E-OPTION-NEEDS", "--step applies only to --window; add --window N")
        if self.pad is not None and self.window is not None:
            raise InputError(
                "E-OPTION-CONFLICT", "--pad cannot be combined with --window; remove one of them"
            )
        if self.window is not None and self.carries_state:
            raise InputError(
                "E-OPTION-CONFLICT",
                "--window starts every window from zero, so it cannot be combined with --chunk,"
                " --state-in or --state-out; remove one of them",
            )
        if self.batch_size is not None and self.carries_state:
            raise InputError(
                "E-OPTION-CONFLICT",
                "--batch-size cannot be combined with --chunk, --state-in or --state-out;"
                " remove one of them",
            )
        if self.output is not None and self.output == self.state_out:
            raise InputError(
                "E-OPTION-CONFLICT", f"{self.output}: is both -o and --state-out; give two files"
            )
        if self.state_any_bundle and self.state_in is None:
            raise InputError(
                "E-OPTION-CONFLICT", "--state-any-bundle applies only to --state-in; add a file"
            )

    @property
    def rules(self) -> TableRules:
        """The columns of a .csv file."""
        names = tuple(name.strip() for name in (self.features or "").split(",") if name.strip())
        return TableRules(self.id, self.time, names)

    @property
    def carries_state(self) -> bool:
        """Return whether the entry point `stream` is run."""
        return any(value is not None for value in (self.chunk, self.state_in, self.state_out))
