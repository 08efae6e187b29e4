"""Choose the control of the page for the model's inputs, unless the user names one.

text   text, for an input with a vocabulary
draw   a drawing pad, for rows of pixels: ten classes (digits) of one sequence of 6 to 64 features
csv    a table that streams row by row, for a model with one input over time and a stream
table  numbers, for all others
"""

from rnn_deploy.bundle.attachments import Attachments
from rnn_deploy.errors import InputError
from rnn_deploy.spec import EntryPoint, TensorSpec

AUTO = "auto"
CONTROLS = ("text", "draw", "csv", "table")
PIXELS = range(6, 65)
DIGITS = 10


def control_for(name: str, entry: EntryPoint, attachments: Attachments) -> str:
    """Return the control, for the value of --control. Raises InputError if it does not fit."""
    if name not in (AUTO, *CONTROLS):
        raise InputError(
            "E-OPTION-CONTROL",
            f"--control {name}: expected one of {', '.join((AUTO, *CONTROLS))}",
        )
    whys = {each: _why_not(each, entry, attachments) for each in CONTROLS}
    if name != AUTO:
        if whys[name]:
            fitting = ", ".join(each for each, why in whys.items() if not why)
            raise InputError(
                "E-OPTION-CONTROL",
                f"--control {name} does not fit this model: {whys[name]}; controls that fit:"
                f" {fitting}",
            )
        return name
    if not whys["draw"] and not (_is_digits(entry) and not attachments.features):
        whys["draw"] = "its outputs are no digits"
    return next(each for each in CONTROLS if not whys[each])


def _why_not(control: str, entry: EntryPoint, attachments: Attachments) -> str:
    if control == "table":
        return ""
    if len(entry.inputs) != 1:
        return f"it has {len(entry.inputs)} inputs, expected one"
    (tensor,) = entry.inputs
    if control == "text":
        kinds = {step["kind"] for step in attachments.steps.get(tensor.name, ())}
        return "" if kinds & {"text", "tokenizer"} else "it has no vocabulary (export --vocabulary)"
    if not _is_features(tensor):
        return f"its input is {tensor}, expected numbers (batch, time, features)"
    if control == "draw":
        width = tensor.shape[2]
        return "" if width in PIXELS else f"it has {width} features, expected 6 to 64 pixels"
    return "" if entry.states and entry.chunked.ok and entry.time_symbols else "it has no stream"


def _is_features(tensor: TensorSpec) -> bool:
    return (
        len(tensor.shape) == 3
        and isinstance(tensor.shape[2], int)
        and tensor.dtype in ("float32", "float64")
    )


def _is_digits(entry: EntryPoint) -> bool:
    return len(entry.outputs) == 1 and entry.outputs[0].shape[1:] == (DIGITS,)
