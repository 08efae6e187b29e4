"""Which lowering each layer gets, and why.

`auto` takes the first lowering of `ONNX_LOWERINGS` that can express the layer and that the target
gets right.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType

from rnn_deploy.bundle.manifest import Choice
from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.lowering import onnx_bidirectional, onnx_native, onnx_scan, onnx_unrolled
from rnn_deploy.lowering.targets import ORT, check_target, runtimes_wrong_with, wrong_on
from rnn_deploy.spec import STREAM, Called, Pair, Recurrence, Support, layers_of

AUTO = "auto"
OTHERS = "*"
ONNX_LOWERINGS: dict[str, ModuleType] = {
    "native": onnx_native,
    "scan": onnx_scan,
    "unrolled": onnx_unrolled,
}


@dataclass(frozen=True)
class Wishes:
    """What the user asks for: a target, a lowering, and lowerings of single layers by name.

    InputError for names that there are not.
    """

    lowering: str = AUTO
    by_layer: Mapping[str, str] = field(default_factory=dict)
    target: str = ORT

    def __post_init__(self) -> None:
        check_target(self.target)
        known = (AUTO, *ONNX_LOWERINGS)
        for name in (self.lowering, *self.by_layer.values()):
            if name not in known:
                raise InputError(f"no lowering '{name}'; there are {', '.join(known)}")

    def of(self, layer: Recurrence) -> str:
        return self.by_layer.get(layer.name, self.lowering)


def wishes(lowering: str | Mapping[str, str], target: str) -> Wishes:
    """Wishes from an option: one lowering, or one by layer ("*": of all others)."""
    if isinstance(lowering, str):
        return Wishes(lowering, {}, target)
    by_layer = {name: value for name, value in lowering.items() if name != OTHERS}
    return Wishes(lowering.get(OTHERS, AUTO), by_layer, target)


def choices_of(calls: Collection[Called], wished: Wishes, entry: str) -> tuple[Choice, ...]:
    """The ONNX lowering of every layer of an entry point.

    Raises InputError for a layer that there is not, UnsupportedModelError when a lowering that is
    asked for cannot express its layer.
    """
    names = [layer.name for called in calls for layer in layers_of(called)]
    unknown = [name for name in wished.by_layer if name not in names]
    if unknown:
        there = ", ".join(names) or "none"
        raise InputError(f"no recurrent layer '{unknown[0]}' to lower; there are {there}")
    return tuple(choice for called in calls for choice in _choices_of_call(called, wished, entry))


def choose(layer: Recurrence, wished: Wishes, entry: str) -> Choice:
    """The ONNX lowering of `layer` in the entry point `entry`.

    Raises UnsupportedModelError when the requested one cannot express it. The stream entry
    point takes chunks of any length, so there `unrolled` gives way, and the reason says so.
    """
    requested = wished.of(layer)
    if requested == AUTO:
        return _automatic(layer, wished.target, "")
    if requested == "unrolled" and entry == STREAM and layer.steps is None:
        why = "not unrolled, since a chunk may have any length; "
        return _automatic(layer, wished.target, why)
    support = _support(layer, requested, wished.target)
    if not support.ok:
        raise UnsupportedModelError(
            f"layer '{layer.name}': lowering '{requested}' cannot express it: {support.reason}"
        )
    return _choice(layer, requested, f"asked for; {support.reason}")


def _choices_of_call(called: Called, wished: Wishes, entry: str) -> list[Choice]:
    choices = [choose(layer, wished, entry) for layer in layers_of(called)]
    lowerings = {choice.layer: choice.lowering for choice in choices}
    if isinstance(called, Pair) and onnx_bidirectional.fits(called, lowerings):
        reason = "; both directions in one operator"
        return [replace(choice, reason=choice.reason + reason) for choice in choices]
    return choices


def _automatic(layer: Recurrence, target: str, why: str) -> Choice:
    refused: list[str] = []
    for name in ONNX_LOWERINGS:
        support = _support(layer, name, target)
        if support.ok:
            return _choice(layer, name, why + "; ".join([*refused, support.reason]))
        refused.append(f"not {name}: {support.reason}")
    raise UnsupportedModelError(f"layer '{layer.name}': no lowering: {'; '.join(refused)}")


def _support(layer: Recurrence, lowering: str, target: str) -> Support:
    support: Support = ONNX_LOWERINGS[lowering].support(layer)
    wrong = wrong_on(target, lowering, layer) if support.ok else None
    return support if wrong is None else Support(False, f"{wrong} (target {target})")


def _choice(layer: Recurrence, lowering: str, reason: str) -> Choice:
    not_on = runtimes_wrong_with(lowering, layer)
    return Choice(layer.name, layer.cell, layer.units, lowering, reason, not_on)
