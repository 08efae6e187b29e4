"""Which TFLite lowering each layer gets, and why.

`auto` writes out every step of a layer whose length is known, short, and whose weights, packed once
for each step, stay small. Any other layer becomes a loop that writes its outputs in place, or, for
an interpreter that copies what a loop carries, one in blocks; but `fused`, which loses in batches,
where the batch is known to be one and the units are few.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType

from rnn_deploy.bundle.manifest import LoweringChoice
from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.spec import STREAM, Recurrence, RecurrentLayer, Support
from rnn_deploy.tflite import fused as tflite_fused
from rnn_deploy.tflite import inplace as tflite_inplace
from rnn_deploy.tflite import loop as tflite_loop
from rnn_deploy.tflite import unrolled as tflite_unrolled

AUTO, OTHERS = "auto", "*"
INPLACE, LOOP, UNROLLED, FUSED = "inplace", "loop", "unrolled", "fused"
TFLITE_LOWERINGS: dict[str, ModuleType] = {
    INPLACE: tflite_inplace,
    LOOP: tflite_loop,
    UNROLLED: tflite_unrolled,
    FUSED: tflite_fused,
}
# Written out by `auto` up to so many steps, and up to so many bytes of weights over all steps.
SHORT = 64
SMALL = 2 << 20
# One operator up to so many units, for one sequence; measured, see docs/lowerings.md.
FEW = {"simple_rnn": 32, "lstm": 16}


@dataclass(frozen=True)
class TfliteLoweringRequest:
    """What the user asks for: a lowering, and lowerings of single layers by name.

    InputError for a lowering that there is not.
    """

    lowering: str = AUTO
    by_layer: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = (AUTO, *TFLITE_LOWERINGS)
        for name in (self.lowering, *self.by_layer.values()):
            if name not in known:
                raise InputError(f"no TFLite lowering '{name}'; there are {', '.join(known)}")


def tflite_wishes(lowering: str | Mapping[str, str]) -> TfliteLoweringRequest:
    """Wishes from an option: one lowering, or one by layer ("*": of all others)."""
    if isinstance(lowering, str):
        return TfliteLoweringRequest(lowering)
    by_layer = {name: value for name, value in lowering.items() if name != OTHERS}
    return TfliteLoweringRequest(lowering.get(OTHERS, AUTO), by_layer)


def choices_of(
    layers: Sequence[Recurrence],
    wished: TfliteLoweringRequest,
    entry: str,
    *,
    alone: bool = False,
    loop: str = INPLACE,
) -> tuple[LoweringChoice, ...]:
    """The TFLite lowering of every layer of an entry point.

    alone: the batch is one, and operators need not be known to a quantiser or a microcontroller.
    loop: which of the loops `auto` takes.

    Raises InputError for a layer that there is not, UnsupportedModelError when a lowering that is
    asked for cannot express its layer.
    """
    names = [layer.name for layer in layers]
    unknown = [name for name in wished.by_layer if name not in names]
    if unknown:
        there = ", ".join(names) or "none"
        raise InputError(f"no recurrent layer '{unknown[0]}' to lower; there are {there}")
    automatic = _AutomaticChoice(alone, loop)
    return tuple(_choose(layer, wished, entry, automatic) for layer in layers)


def _choose(
    layer: Recurrence, wished: TfliteLoweringRequest, entry: str, automatic: "_AutomaticChoice"
) -> LoweringChoice:
    asked = wished.by_layer.get(layer.name, wished.lowering)
    if asked == AUTO:
        return automatic.choice(layer)
    if asked == UNROLLED and entry == STREAM and layer.steps is None:
        return automatic.choice(layer, "not unrolled, since a chunk may have any length; ")
    support: Support = TFLITE_LOWERINGS[asked].support(layer)
    if not support.ok:
        raise UnsupportedModelError(
            f"layer '{layer.name}': TFLite lowering '{asked}' cannot express it: {support.reason}"
        )
    return _choice(layer, asked, f"asked for; {support.reason}")


@dataclass(frozen=True)
class _AutomaticChoice:
    """What `auto` chooses, as `choices_of` says."""

    alone: bool
    loop: str

    def choice(self, layer: Recurrence, why: str = "") -> LoweringChoice:
        against = _against_unrolled(layer)
        if against is not None and self.alone and _is_few(layer):
            reason = f"{tflite_fused.support(layer).reason}, for one sequence and few units"
            return _choice(layer, FUSED, f"{why}{reason}; {against}")
        name = UNROLLED if against is None else self.loop
        reasons = [TFLITE_LOWERINGS[name].support(layer).reason, *([against] if against else [])]
        return _choice(layer, name, why + "; ".join(reasons))


def _is_few(layer: Recurrence) -> bool:
    return tflite_fused.support(layer).ok and layer.units <= FEW[layer.cell]


def _against_unrolled(layer: Recurrence) -> str | None:
    """Why steps are not written out, None where they are."""
    steps = layer.steps
    if steps is None:
        return "not unrolled: the number of steps is open"
    if steps == 1:
        return None
    if steps > SHORT:
        return f"not unrolled: more than {SHORT} steps"
    size = layer.recurrent_kernel.nbytes if isinstance(layer, RecurrentLayer) else 0
    if steps * size > SMALL:
        return f"not unrolled: {steps * size / 2**20:.1f} MiB of weights, packed for each step"
    return None


def _choice(layer: Recurrence, lowering: str, reason: str) -> LoweringChoice:
    return LoweringChoice(layer.name, layer.cell, layer.units, lowering, reason)
