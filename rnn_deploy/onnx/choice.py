"""Choose the ONNX lowering of each layer, with a reason.

`auto` takes the first lowering that can express the layer and that the profile's runtimes compute
correctly. For ONNX Runtime it takes a later one if that is clearly faster at the expected shapes.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from importlib import import_module

from rnn_deploy.bundle.manifest import LoweringChoice
from rnn_deploy.errors import UnsupportedModelError
from rnn_deploy.formats import lowerings as shared
from rnn_deploy.onnx import bidirectional as onnx_bidirectional
from rnn_deploy.onnx.costs import gain
from rnn_deploy.onnx.expected import expected_of
from rnn_deploy.onnx.format import LOWERINGS, UNROLLED, OnnxLoweringRequest
from rnn_deploy.onnx.profiles import ORT, runtimes_wrong_with, wrong_on
from rnn_deploy.spec import (
    DECODE,
    ENCODE,
    STEP,
    BidirectionalLayers,
    Called,
    EntryPoint,
    Recurrence,
    Support,
    layers_of,
)
from rnn_deploy.spec.shapes import Shape

# The modules with `support` and `lower`.
ONNX_LOWERINGS = {name: import_module(f"rnn_deploy.onnx.{name}") for name in LOWERINGS}
# Most runtimes know the first lowering, so another must be clearly faster. The costs are a fit,
# whose choice is sometimes slower by a few percent.
WORTH_IT = 1.15


def choices_of(
    calls: Collection[Called], request: OnnxLoweringRequest, entry: EntryPoint
) -> tuple[LoweringChoice, ...]:
    """Return the ONNX lowering of every layer of an entry point.

    Raise InputError for an unknown layer and for an expected shape that the entry point does not
    accept, UnsupportedModelError if a requested lowering cannot express its layer.
    """
    expected = expected_of(entry, request.expect)
    if entry.name not in (ENCODE, DECODE):  # these have only some of the model's layers
        request.check_layers([layer for called in calls for layer in layers_of(called)])
    chosen = (_choices_of_call(called, request, entry.name, expected) for called in calls)
    return tuple(choice for choices in chosen for choice in choices)


def choose(
    layer: Recurrence, request: OnnxLoweringRequest, entry: str, expected: Sequence[Shape] = ()
) -> LoweringChoice:
    """Return the ONNX lowering of `layer` in the entry point `entry`, called with `expected`.

    Raise UnsupportedModelError if the requested one cannot express it.
    """

    def support(lowering: str) -> Support:
        return _support(layer, lowering, request.profile)

    def automatic(prefix: str) -> tuple[str, str]:
        if entry == STEP and layer.steps == 1 and request.profile == ORT and support(UNROLLED).ok:
            # Measured only on ONNX Runtime.
            return UNROLLED, "one step needs no loop and no operator of many steps"
        return _automatic(layer, request.profile, prefix, expected)

    lowering, reason = shared.choose(layer, request.of(layer), entry, support, automatic)
    not_on = runtimes_wrong_with(lowering, layer)
    return LoweringChoice(layer.name, layer.cell, layer.units, lowering, reason, not_on)


def lowerings_of(choices: Collection[LoweringChoice]) -> dict[str, str]:
    """Return the lowering of each layer by name."""
    return {choice.layer: choice.lowering for choice in choices}


def _choices_of_call(
    called: Called, request: OnnxLoweringRequest, entry: str, expected: Sequence[Shape]
) -> list[LoweringChoice]:
    choices = [choose(layer, request, entry, expected) for layer in layers_of(called)]
    lowerings = lowerings_of(choices)
    if isinstance(called, BidirectionalLayers) and onnx_bidirectional.fits(called, lowerings):
        reason = "; both directions in one operator"
        return [replace(choice, reason=choice.reason + reason) for choice in choices]
    return choices


def _automatic(
    layer: Recurrence, profile: str, prefix: str, expected: Sequence[Shape]
) -> tuple[str, str]:
    refused: list[str] = []
    able: dict[str, str] = {}
    for name in LOWERINGS:
        support = _support(layer, name, profile)
        if support.ok:
            able[name] = support.reason
        elif not able:
            refused.append(f"not {name}: {support.reason}")
    if not able:
        raise UnsupportedModelError(
            "E-MODEL-LOWERING",
            f"layer '{layer.name}': no ONNX lowering can express it: {'; '.join(refused)}",
        )
    name, faster = _fastest(layer, list(able), expected if profile == ORT else ())
    return name, prefix + "; ".join([*refused, *faster, able[name]])


def _fastest(
    layer: Recurrence, able: Sequence[str], expected: Sequence[Shape]
) -> tuple[str, list[str]]:
    """Return the fastest lowering, and why it is not the first one."""
    first = able[0]
    gains = {name: gain(layer, name, first, expected) or 0.0 for name in able[1:]}
    best = max(gains, key=gains.__getitem__, default=first)
    if gains.get(best, 0.0) < WORTH_IT:
        return first, []
    at = " and ".join(map(str, expected))
    return best, [f"{gains[best]:.1f} times as fast as {first} at {at} (batch x time, expected)"]


def _support(layer: Recurrence, lowering: str, profile: str) -> Support:
    support: Support = ONNX_LOWERINGS[lowering].support(layer)
    wrong = wrong_on(profile, lowering, layer) if support.ok else None
    return support if wrong is None else Support(False, f"{wrong} (profile {profile})")
