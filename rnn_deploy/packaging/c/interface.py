"""The calls of the functions in a bundle's C files, from the manifest."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CTensor:
    """An argument. steps: the argument with its number of steps, None for one without time."""

    name: str
    identifier: str
    size: int
    steps: str | None
    type: str


@dataclass(frozen=True)
class CState:
    """A field of model_state that holds a recurrent state."""

    layer: str
    role: str
    field: str
    size: int


@dataclass(frozen=True)
class CInterface:
    """The arguments in order: state, inputs, mask, steps, outputs, work."""

    inputs: tuple[CTensor, ...]
    mask: bool
    steps: tuple[str, ...]
    outputs: tuple[CTensor, ...]
    work: bool
    step: bool
    states: tuple[CState, ...]

    @staticmethod
    def read(data: Any) -> "CInterface":
        """Read the manifest's data; KeyError, TypeError or ValueError if they are damaged."""
        return CInterface(
            tuple(CTensor(**tensor) for tensor in data["inputs"]),
            bool(data["mask"]),
            tuple(str(name) for name in data["steps"]),
            tuple(CTensor(**tensor) for tensor in data["outputs"]),
            bool(data["work"]),
            bool(data["step"]),
            tuple(CState(**state) for state in data["states"]),
        )

    def run(self, inputs: list[str], steps: list[str], outputs: list[str], work: str) -> str:
        """Return a call of model_run."""
        given = ["&state", *inputs, *(["NULL"] if self.mask else []), *steps, *outputs]
        return f"model_run({', '.join([*given, *([work] if self.work else [])])})"

    def one_step(self, inputs: list[str], outputs: list[str]) -> str:
        """Return a call of model_step."""
        given = ["&state", *inputs, *(["NULL"] if self.mask else []), *outputs]
        return f"model_step({', '.join(given)})"
