"""The lowerings that a profile's runtimes compute wrongly; see docs/internals/lowerings.md.

ort         ONNX Runtime: computes every lowering correctly
openvino    OpenVINO: its operators ignore sequence_lens if shapes are open, and have only three
            activations; it computes float64 in float32
portable    every runtime tried: loops as Scan, no recurrent operator
"""

from rnn_deploy.spec import Recurrence, RecurrentLayer

ORT, OPENVINO, PORTABLE = "ort", "openvino", "portable"
PROFILES = (ORT, OPENVINO, PORTABLE)
# The runtime that must not run a lowering that is wrong for the profile.
RUNTIMES = {OPENVINO: "openvino-cpu"}
# Runtimes that must load the files of a profile. ONNX Runtime loads all of its own profile.
LOAD_ON = {ORT: (), OPENVINO: ("openvino-cpu",), PORTABLE: ("ort-cpu", "openvino-cpu")}
_OPENVINO_ACTIVATIONS = ("tanh", "sigmoid", "relu")


def wrong_on(profile: str, lowering: str, layer: Recurrence) -> str | None:
    """Return why `lowering` of `layer` must not be written for `profile`, None if it may."""
    if profile == ORT:
        return None
    if profile == PORTABLE and lowering == "native":
        return "runtimes differ in how much of the recurrent operators they implement"
    return _wrong_on_openvino(lowering, layer)


def runtimes_wrong_with(lowering: str, layer: Recurrence) -> tuple[str, ...]:
    """Return the runtimes that compute this lowering wrongly or do not load it."""
    found = (name for profile, name in RUNTIMES.items() if wrong_on(profile, lowering, layer))
    return tuple(found)


def _wrong_on_openvino(lowering: str, layer: Recurrence) -> str | None:
    if layer.dtype.name == "float64":
        return "OpenVINO computes float64 in float32"
    if lowering != "native" or not isinstance(layer, RecurrentLayer):
        return None
    if layer.masked and layer.cell == "lstm":
        return "OpenVINO ignores sequence_lens where shapes are open"
    gates = [] if layer.cell == "simple_rnn" else [layer.recurrent_activation]
    foreign = [n for n in (layer.activation, *gates) if n not in _OPENVINO_ACTIVATIONS]
    if foreign:
        return f"OpenVINO's operators have no activation '{foreign[0]}'"
    return None
