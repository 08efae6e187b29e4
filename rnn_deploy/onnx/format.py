"""The format "onnx": its description, its options, and their checks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from rnn_deploy.errors import InputError
from rnn_deploy.formats.base import Format, FormatOption
from rnn_deploy.formats.lowerings import AUTO, LoweringRequest, lowering_option
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.onnx.expected import EXPECT, ExpectedShapes, expected_shapes
from rnn_deploy.onnx.profiles import ORT, PROFILES

NATIVE, SCAN, UNROLLED = LOWERINGS = ("native", "scan", "unrolled")
OPSET = 17
# The oldest IR version that allows each opset, so that the oldest runtimes load the file.
IR_VERSIONS = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10}
_RANGE = f"{min(IR_VERSIONS)} to {max(IR_VERSIONS)}"
_EXPECT_HELP = (
    f"A shape that the model will be called with, by which {AUTO} chooses; may be repeated."
    " By default 1x100, 32x100 and stream=1x1."
)
_TEST_DATA_HELP = "Also write the golden vectors as ONNX test data (test_data_set_N)."


@dataclass(frozen=True)
class OnnxLoweringRequest(LoweringRequest):
    """The requested lowerings, and the conditions of the automatic choice.

    profile: where the file must be correct, one of PROFILES. expect: the shapes with which entry
    points are expected to be called. Raise InputError for shapes that have no effect.
    """

    option: ClassVar[str] = "--lowering"
    known: ClassVar[tuple[str, ...]] = LOWERINGS
    profile: str = ORT
    expect: ExpectedShapes = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.expect and self.profile != ORT:
            why = f"costs are known only for --profile {ORT}"
        elif self.expect and AUTO not in (self.lowering, *self.by_layer.values()):
            why = f"it decides what {AUTO} takes, and no layer is left to {AUTO}"
        else:
            return
        raise InputError("E-EXPORT-EXPECT-UNUSED", f"{EXPECT}: {why}; remove {EXPECT}")


def request_from(options: ExportOptions) -> OnnxLoweringRequest:
    """Return the requested lowerings."""
    expect: str | Sequence[str] = options["expect"]
    shapes = expected_shapes((expect,) if isinstance(expect, str) else expect)
    return OnnxLoweringRequest.read(options["lowering"], profile=options["profile"], expect=shapes)


def _check(options: ExportOptions) -> None:
    request_from(options)
    opset = options["opset"]
    if opset not in IR_VERSIONS:
        raise InputError("E-EXPORT-OPSET", f"--opset {opset}: expected a number from {_RANGE}")


FORMAT = Format(
    name="onnx",
    title="ONNX",
    writer="rnn_deploy.onnx.files",
    packages=("tf2onnx", "onnx", "onnx_ir"),
    by_default=True,
    options=(
        lowering_option("lowering", "ONNX", LOWERINGS),
        FormatOption("profile", ORT, "Where the ONNX file must be correct.", choices=PROFILES),
        FormatOption("expect", (), _EXPECT_HELP, many=True, metavar="[ENTRY=]BATCHxTIME"),
        FormatOption("opset", OPSET, f"ONNX opset: {_RANGE}.", metavar="N", saved_models=True),
        FormatOption("test_data", False, _TEST_DATA_HELP, saved_models=True),
    ),
    check=_check,
    saved_models=True,
)
