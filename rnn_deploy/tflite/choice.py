"""Choose the TFLite lowering of each layer, with a reason.

`auto` unrolls a layer if its length is fixed and short, and if its weights, packed once per step,
stay small. Any other layer becomes a loop that writes its outputs in place, or, for an interpreter
that copies the values a loop carries, a loop over blocks. `auto` takes `fused`, which is slower in
batches, if the batch is one and the units are few.
"""

from collections.abc import Sequence
from functools import partial
from importlib import import_module

from rnn_deploy.bundle.manifest import LoweringChoice
from rnn_deploy.formats import lowerings as shared
from rnn_deploy.spec import DECODE, ENCODE, Recurrence, RecurrentLayer, Support
from rnn_deploy.tflite import fused as tflite_fused
from rnn_deploy.tflite.format import FUSED, INPLACE, LOWERINGS, UNROLLED, TfliteLoweringRequest

# The modules with `support` and `lower`.
TFLITE_LOWERINGS = {name: import_module(f"rnn_deploy.tflite.{name}") for name in LOWERINGS}
# `auto` writes out at most so many steps, with at most so many bytes of weights over all steps.
SHORT = 64
SMALL = 2 << 20
# At most so many units become one operator, for one sequence; see docs/internals/lowerings.md.
FEW = {"simple_rnn": 32, "lstm": 16}


def choices_of(
    layers: Sequence[Recurrence],
    request: TfliteLoweringRequest,
    entry: str,
    *,
    alone: bool = False,
    loop: str = INPLACE,
) -> tuple[LoweringChoice, ...]:
    """Return the TFLite lowering of every layer of an entry point.

    alone: the batch is one, and neither a quantiser nor a microcontroller must know the operators.
    loop: the kind of loop that `auto` takes.

    Raise InputError for an unknown layer, UnsupportedModelError if a requested lowering cannot
    express its layer.
    """
    if entry not in (ENCODE, DECODE):  # these have only some of the model's layers
        request.check_layers(layers)
    return tuple(_choose(layer, request.of(layer), entry, alone, loop) for layer in layers)


def _choose(
    layer: Recurrence, requested: str, entry: str, alone: bool, loop: str
) -> LoweringChoice:
    def support(lowering: str) -> Support:
        return TFLITE_LOWERINGS[lowering].support(layer)

    automatic = partial(_automatic, layer, alone, loop)
    lowering, reason = shared.choose(layer, requested, entry, support, automatic)
    return LoweringChoice(layer.name, layer.cell, layer.units, lowering, reason)


def _automatic(layer: Recurrence, alone: bool, loop: str, prefix: str) -> tuple[str, str]:
    against = _against_unrolled(layer)
    if against is not None and alone and _is_few(layer):
        reason = f"{tflite_fused.support(layer).reason}, for one sequence and few units"
        return FUSED, f"{prefix}{reason}; {against}"
    name = UNROLLED if against is None else loop
    reasons = [TFLITE_LOWERINGS[name].support(layer).reason, *([against] if against else [])]
    return name, prefix + "; ".join(reasons)


def _is_few(layer: Recurrence) -> bool:
    return tflite_fused.support(layer).ok and layer.units <= FEW[layer.cell]


def _against_unrolled(layer: Recurrence) -> str | None:
    """Return why the steps are not written out; None if they are."""
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
