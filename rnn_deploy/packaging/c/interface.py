"""The calls of the functions in a bundle's C files, from the manifest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rnn_deploy.spec import ENCODE


@dataclass(frozen=True)
class CTensor:
    """An argument. steps: the argument with its number of steps, None for one without time.

    over: for attention scores, the argument with the number of steps that they are over.
    """

    name: str
    identifier: str
    size: int
    steps: str | None
    type: str
    over: str | None = None


@dataclass(frozen=True)
class CState:
    """A field of model_state that holds a recurrent state."""

    layer: str
    role: str
    field: str
    size: int


@dataclass(frozen=True)
class CInterface:
    """The arguments in order: state, inputs, mask, steps, outputs, work.

    moving: the argument whose steps model_step computes one by one, None without that function.
    prefix: of the functions. halves: the interfaces of encode and decode.
    """

    inputs: tuple[CTensor, ...]
    mask: bool
    steps: tuple[str, ...]
    outputs: tuple[CTensor, ...]
    work: bool
    step: bool
    states: tuple[CState, ...]
    moving: str | None = None
    prefix: str = "model"
    halves: Mapping[str, "CInterface"] = field(default_factory=dict)

    @staticmethod
    def read(data: Any, entry: str = "") -> "CInterface":
        """Read the manifest's form; KeyError, TypeError or ValueError if it is damaged."""
        return CInterface(
            tuple(CTensor(**tensor) for tensor in data["inputs"]),
            bool(data["mask"]),
            tuple(str(name) for name in data["steps"]),
            tuple(CTensor(**tensor) for tensor in data["outputs"]),
            bool(data["work"]),
            bool(data["step"]),
            tuple(CState(**state) for state in data["states"]),
            data.get("moving", data["steps"][0]) if data["step"] else None,
            f"model_{entry}" if entry else "model",
            {name: CInterface.read(half, name) for name, half in data.get("halves", {}).items()},
        )

    @property
    def keeps_state(self) -> bool:
        """Return whether the functions take a state; the encoder always starts from zero."""
        return self.prefix != f"model_{ENCODE}"

    def run(self, inputs: list[str], steps: list[str], outputs: list[str], work: str) -> str:
        """Return a call of model_run."""
        given = [*self._first(inputs), *steps, *outputs, *([work] if self.work else [])]
        return f"{self.prefix}_run({', '.join(given)})"

    def one_step(
        self, inputs: list[str], outputs: list[str], steps: Mapping[str, str], work: str
    ) -> str:
        """Return a call of model_step. steps: the lengths of whole sequences that it takes."""
        whole = [steps[name] for name in self.steps if name != self.moving]
        given = [*self._first(inputs), *whole, *outputs, *([work] if self.work else [])]
        return f"{self.prefix}_step({', '.join(given)})"

    def _first(self, inputs: list[str]) -> list[str]:
        state = ["&state"] if self.keeps_state else []
        return [*state, *inputs, *(["NULL"] if self.mask else [])]
