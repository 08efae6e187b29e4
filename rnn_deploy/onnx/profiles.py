"""What a target gets wrong, so that it is not given to it. Measured; see docs/lowerings.md.

ort         ONNX Runtime: every form we write
openvino    OpenVINO: its operators let sequence_lens be where shapes are open, and know three
            activations; float64 is computed in float32
portable    every runtime tried: loops written out as Scan, no recurrent operator
"""

from rnn_deploy.errors import InputError
from rnn_deploy.spec import Recurrence, RecurrentLayer

ORT, OPENVINO, PORTABLE = "ort", "openvino", "portable"
TARGETS = (ORT, OPENVINO, PORTABLE)
# The runtimes that a form wrong on a target must be kept from.
RUNTIMES = {OPENVINO: "openvino-cpu"}
_OPENVINO_ACTIVATIONS = ("tanh", "sigmoid", "relu")


def wrong_on(target: str, lowering: str, layer: Recurrence) -> str | None:
    """Why `lowering` of `layer` must not be written for `target`, None if it may."""
    if target == ORT:
        return None
    if target == PORTABLE and lowering == "native":
        return "runtimes differ in what they know of the recurrent operators"
    return _wrong_on_openvino(lowering, layer)


def runtimes_wrong_with(lowering: str, layer: Recurrence) -> tuple[str, ...]:
    """The runtimes that get this form wrong or do not load it."""
    found = (name for target, name in RUNTIMES.items() if wrong_on(target, lowering, layer))
    return tuple(found)


def check_target(target: str) -> None:
    """Raise InputError for a target that there is not."""
    if target not in TARGETS:
        raise InputError(f"no target '{target}'; there are {', '.join(TARGETS)}")


def _wrong_on_openvino(lowering: str, layer: Recurrence) -> str | None:
    if layer.dtype.name == "float64":
        return "OpenVINO computes float64 in float32"
    if lowering != "native" or not isinstance(layer, RecurrentLayer):
        return None
    if layer.masked and layer.cell == "lstm":
        return "OpenVINO lets sequence_lens be where shapes are open"
    gates = [] if layer.cell == "simple_rnn" else [layer.recurrent_activation]
    foreign = [n for n in (layer.activation, *gates) if n not in _OPENVINO_ACTIVATIONS]
    if foreign:
        return f"OpenVINO's operators have no activation '{foreign[0]}'"
    return None
