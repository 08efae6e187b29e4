"""The format "tflite": its description, its options, and how they are checked."""

from dataclasses import dataclass
from typing import ClassVar

from rnn_deploy.errors import InputError
from rnn_deploy.formats.base import Format, FormatOption
from rnn_deploy.formats.lowerings import LoweringRequest, lowering_option
from rnn_deploy.formats.options import ExportOptions

LOWERINGS = ("inplace", "loop", "single", "unrolled", "fused")
INPLACE, LOOP, SINGLE, UNROLLED, FUSED = LOWERINGS
FLOAT16, DYNAMIC, INT8, INT16X8 = "float16", "dynamic-int8", "int8", "int16x8"
WITH_RANGES = (INT8, INT16X8)  # activations are integers too, in ranges from calibration data
# The type of inputs and outputs besides float32: the type of activations in the file.
INTEGERS = {INT8: "int8", INT16X8: "int16"}
FLOAT_IO = "float32"
IO_OPTION = FormatOption(
    "io",
    FLOAT_IO,
    "Type of the model file's inputs, outputs and states. int8 needs --quantize int8, int16 needs"
    " --quantize int16x8; token ids and masks stay as they are.",
    choices=(FLOAT_IO, *INTEGERS.values()),
)
LOWERING_OPTION = lowering_option("tflite_lowering", "TFLite", LOWERINGS)
WHY_NO_SAVED_MODEL = "a SavedModel's loops need more than TFLite's builtin operators"


@dataclass(frozen=True)
class TfliteLoweringRequest(LoweringRequest):
    """The requested lowerings."""

    option: ClassVar[str] = LOWERING_OPTION.flag
    known: ClassVar[tuple[str, ...]] = LOWERINGS


def request_from(options: ExportOptions) -> TfliteLoweringRequest:
    """Return the requested lowerings."""
    return TfliteLoweringRequest.read(options[LOWERING_OPTION.name])


def check(options: ExportOptions) -> None:
    """Raise InputError for an unknown lowering, a wrong --io, and missing calibration data."""
    request_from(options)
    io = options[IO_OPTION.name]
    if io not in (FLOAT_IO, INTEGERS.get(options.quantize)):
        mode = next(mode for mode, integers in INTEGERS.items() if integers == io)
        raise InputError(
            "E-EXPORT-IO",
            f"--io {io}: the activations within the file are no {io} integers; add --quantize"
            f" {mode}, or remove --io",
        )
    if options.quantize in WITH_RANGES and options.calibration is None:
        raise InputError(
            "E-EXPORT-CALIBRATION-MISSING",
            f"--quantize {options.quantize} takes the ranges of activations from real inputs; add"
            f" --calibration DATA.npz, or use --quantize {DYNAMIC}, which needs none",
        )


FORMAT = Format(
    name="tflite",
    title="TFLite",
    writer="rnn_deploy.tflite.files",
    by_default=True,
    options=(LOWERING_OPTION, IO_OPTION),
    check=check,
    quantize=(FLOAT16, DYNAMIC, INT8, INT16X8),
    quantize_packages=("ai_edge_quantizer",),
    why_no_saved_model=WHY_NO_SAVED_MODEL,
)
