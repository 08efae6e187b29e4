"""Which lowering each layer gets, and why.

`auto` takes the first lowering of `ONNX_LOWERINGS` that can express the layer and that the target
gets right; on ONNX Runtime a later one where it costs clearly less at the shapes expected.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType

from rnn_deploy.bundle.manifest import LoweringChoice
from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.onnx import bidirectional as onnx_bidirectional
from rnn_deploy.onnx import native as onnx_native
from rnn_deploy.onnx import scan as onnx_scan
from rnn_deploy.onnx import unrolled as onnx_unrolled
from rnn_deploy.onnx.costs import gain
from rnn_deploy.onnx.expected import OPTION, Asked, expected_of
from rnn_deploy.onnx.targets import ORT, check_target, runtimes_wrong_with, wrong_on
from rnn_deploy.spec import (
    STEP,
    STREAM,
    BidirectionalLayers,
    Called,
    EntryPoint,
    Recurrence,
    Support,
    layers_of,
)
from rnn_deploy.spec.shapes import Shape

AUTO = "auto"
OTHERS = "*"
ONNX_LOWERINGS: dict[str, ModuleType] = {
    "native": onnx_native,
    "scan": onnx_scan,
    "unrolled": onnx_unrolled,
}
# The first lowering is what most runtimes know, so another must be worth it. The costs are a fit,
# which chooses the slower one by a few percent now and then.
WORTH_IT = 1.15


@dataclass(frozen=True)
class OnnxLoweringRequest:
    """What the user asks for: a target, a lowering, and lowerings of single layers by name.

    expect: the shapes that entry points are expected to be called with, which decide `auto`.
    InputError for names that there are not, and for expectations that decide nothing.
    """

    lowering: str = AUTO
    by_layer: Mapping[str, str] = field(default_factory=dict)
    target: str = ORT
    expect: Asked = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_target(self.target)
        if self.expect and self.target != ORT:
            raise InputError(f"{OPTION}: costs are known of --target ort only; leave it out")
        if self.expect and AUTO not in (self.lowering, *self.by_layer.values()):
            raise InputError(f"{OPTION} decides what auto takes, and nothing is left to it")
        known = (AUTO, *ONNX_LOWERINGS)
        for name in (self.lowering, *self.by_layer.values()):
            if name not in known:
                raise InputError(f"no lowering '{name}'; there are {', '.join(known)}")

    def of(self, layer: Recurrence) -> str:
        return self.by_layer.get(layer.name, self.lowering)


def wishes(
    lowering: str | Mapping[str, str], target: str, expect: Asked | None = None
) -> OnnxLoweringRequest:
    """Wishes from an option: one lowering, or one by layer ("*": of all others)."""
    if isinstance(lowering, str):
        return OnnxLoweringRequest(lowering, {}, target, expect or {})
    by_layer = {name: value for name, value in lowering.items() if name != OTHERS}
    return OnnxLoweringRequest(lowering.get(OTHERS, AUTO), by_layer, target, expect or {})


def choices_of(
    calls: Collection[Called], wished: OnnxLoweringRequest, entry: EntryPoint
) -> tuple[LoweringChoice, ...]:
    """The ONNX lowering of every layer of an entry point.

    Raises InputError for a layer that there is not and for a shape expected that the entry point
    does not take, UnsupportedModelError when a lowering that is asked for cannot express its layer.
    """
    expected = expected_of(entry, wished.expect)
    names = [layer.name for called in calls for layer in layers_of(called)]
    unknown = [name for name in wished.by_layer if name not in names]
    if unknown:
        there = ", ".join(names) or "none"
        raise InputError(f"no recurrent layer '{unknown[0]}' to lower; there are {there}")
    chosen = (_choices_of_call(called, wished, entry.name, expected) for called in calls)
    return tuple(choice for choices in chosen for choice in choices)


def choose(
    layer: Recurrence, wished: OnnxLoweringRequest, entry: str, expected: Sequence[Shape] = ()
) -> LoweringChoice:
    """The ONNX lowering of `layer` in the entry point `entry`, called with the shapes expected.

    Raises UnsupportedModelError when the requested one cannot express it. The stream entry
    point takes chunks of any length, so there `unrolled` gives way, and the reason says so.
    """
    requested = wished.of(layer)
    if requested == AUTO and entry == STEP and _written_out(layer, wished.target):
        return _choice(layer, "unrolled", "one step needs no loop and no operator of many steps")
    if requested == AUTO:
        return _automatic(layer, wished.target, "", expected)
    if requested == "unrolled" and entry == STREAM and layer.steps is None:
        why = "not unrolled, since a chunk may have any length; "
        return _automatic(layer, wished.target, why, expected)
    support = _support(layer, requested, wished.target)
    if not support.ok:
        raise UnsupportedModelError(
            f"layer '{layer.name}': lowering '{requested}' cannot express it: {support.reason}"
        )
    return _choice(layer, requested, f"asked for; {support.reason}")


def lowerings_of(choices: Collection[LoweringChoice]) -> dict[str, str]:
    """The lowering of each layer by name."""
    return {choice.layer: choice.lowering for choice in choices}


def _written_out(layer: Recurrence, target: str) -> bool:
    """Whether it is one step, and `auto` writes it out: measured of ONNX Runtime alone."""
    return target == ORT and layer.steps == 1 and _support(layer, "unrolled", target).ok


def _choices_of_call(
    called: Called, wished: OnnxLoweringRequest, entry: str, expected: Sequence[Shape]
) -> list[LoweringChoice]:
    choices = [choose(layer, wished, entry, expected) for layer in layers_of(called)]
    lowerings = lowerings_of(choices)
    if isinstance(called, BidirectionalLayers) and onnx_bidirectional.fits(called, lowerings):
        reason = "; both directions in one operator"
        return [replace(choice, reason=choice.reason + reason) for choice in choices]
    return choices


def _automatic(
    layer: Recurrence, target: str, why: str, expected: Sequence[Shape]
) -> LoweringChoice:
    refused: list[str] = []
    able: dict[str, str] = {}
    for name in ONNX_LOWERINGS:
        support = _support(layer, name, target)
        if support.ok:
            able[name] = support.reason
        elif not able:
            refused.append(f"not {name}: {support.reason}")
    if not able:
        raise UnsupportedModelError(f"layer '{layer.name}': no lowering: {'; '.join(refused)}")
    name, faster = _fastest(layer, list(able), expected if target == ORT else ())
    return _choice(layer, name, why + "; ".join([*refused, *faster, able[name]]))


def _fastest(
    layer: Recurrence, able: Sequence[str], expected: Sequence[Shape]
) -> tuple[str, list[str]]:
    """The lowering that costs least, and why it is not the first one."""
    first = able[0]
    gains = {name: gain(layer, name, first, expected) or 0.0 for name in able[1:]}
    best = max(gains, key=gains.__getitem__, default=first)
    if gains.get(best, 0.0) < WORTH_IT:
        return first, []
    at = " and ".join(map(str, expected))
    return best, [f"{gains[best]:.1f} times as fast as {first} at {at} (batch x time, expected)"]


def _support(layer: Recurrence, lowering: str, target: str) -> Support:
    support: Support = ONNX_LOWERINGS[lowering].support(layer)
    wrong = wrong_on(target, lowering, layer) if support.ok else None
    return support if wrong is None else Support(False, f"{wrong} (target {target})")


def _choice(layer: Recurrence, lowering: str, reason: str) -> LoweringChoice:
    not_on = runtimes_wrong_with(lowering, layer)
    return LoweringChoice(layer.name, layer.cell, layer.units, lowering, reason, not_on)
