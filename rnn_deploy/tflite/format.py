"""The format "tflite": its description, its options, and how they are checked."""

from dataclasses import dataclass
from typing import ClassVar

from rnn_deploy.errors import InputError
from rnn_deploy.formats.base import Format
from rnn_deploy.formats.lowerings import LoweringRequest, lowering_option
from rnn_deploy.formats.options import ExportOptions

LOWERINGS = ("inplace", "loop", "single", "unrolled", "fused")
INPLACE, LOOP, SINGLE, UNROLLED, FUSED = LOWERINGS
FLOAT16, DYNAMIC, INT8 = "float16", "dynamic-int8", "int8"
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
    """Raise InputError for an unknown lowering, and for int8 without calibration data."""
    request_from(options)
    if options.quantize == INT8 and options.calibration is None:
        raise InputError(
            "E-EXPORT-CALIBRATION-MISSING",
            f"--quantize {INT8} takes the ranges of activations from real inputs; add"
            f" --calibration DATA.npz, or use --quantize {DYNAMIC}, which needs none",
        )


FORMAT = Format(
    name="tflite",
    title="TFLite",
    writer="rnn_deploy.tflite.files",
    by_default=True,
    options=(LOWERING_OPTION,),
    check=check,
    quantize=(FLOAT16, DYNAMIC, INT8),
    quantize_packages=("ai_edge_quantizer",),
    why_no_saved_model=WHY_NO_SAVED_MODEL,
)
