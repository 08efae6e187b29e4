"""Which lowering a layer gets, and why.

`auto` takes the first lowering of `ONNX_LOWERINGS` that can express the layer.
"""

from types import ModuleType

from rnn_deploy.bundle.manifest import Choice
from rnn_deploy.errors import InputError, UnsupportedModelError
from rnn_deploy.lowering import onnx_native, onnx_scan, onnx_unrolled
from rnn_deploy.spec import STREAM, Recurrence

AUTO = "auto"
ONNX_LOWERINGS: dict[str, ModuleType] = {
    "native": onnx_native,
    "scan": onnx_scan,
    "unrolled": onnx_unrolled,
}


def choose(layer: Recurrence, *, requested: str, entry: str) -> Choice:
    """The ONNX lowering of `layer` in the entry point `entry`.

    Raises UnsupportedModelError when the requested one cannot express it. The stream entry
    point takes chunks of any length, so there `unrolled` gives way, and the reason says so.
    """
    if requested not in (AUTO, *ONNX_LOWERINGS):
        known = ", ".join((AUTO, *ONNX_LOWERINGS))
        raise InputError(f"no lowering '{requested}'; there are {known}")
    if requested == AUTO:
        return _automatic(layer, "")
    if requested == "unrolled" and entry == STREAM and layer.steps is None:
        return _automatic(layer, "not unrolled, since a chunk may have any length; ")
    support = ONNX_LOWERINGS[requested].support(layer)
    if not support.ok:
        raise UnsupportedModelError(
            f"layer '{layer.name}': lowering '{requested}' cannot express it: {support.reason}"
        )
    return _choice(layer, requested, f"asked for; {support.reason}")


def _automatic(layer: Recurrence, why: str) -> Choice:
    refused: list[str] = []
    for name, lowering in ONNX_LOWERINGS.items():
        support = lowering.support(layer)
        if support.ok:
            return _choice(layer, name, why + "; ".join([*refused, support.reason]))
        refused.append(f"not {name}: {support.reason}")
    raise UnsupportedModelError(f"layer '{layer.name}': no lowering: {'; '.join(refused)}")


def _choice(layer: Recurrence, lowering: str, reason: str) -> Choice:
    return Choice(layer.name, layer.cell, layer.units, lowering, reason)
