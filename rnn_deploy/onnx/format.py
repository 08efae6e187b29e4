"""The format "onnx": its description, its options, and how they are checked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from rnn_deploy.errors import InputError
from rnn_deploy.formats.base import Format, FormatOption
from rnn_deploy.formats.lowerings import AUTO, LoweringRequest, lowering_help
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.onnx.expected import EXPECT, ExpectedShapes, expected_shapes
from rnn_deploy.onnx.profiles import ORT, PROFILES

NATIVE, SCAN, UNROLLED = LOWERINGS = ("native", "scan", "unrolled")
OPSET = 17
# The oldest IR version that may carry an opset, so that the oldest runtimes load it.
IR_VERSIONS = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10}


@dataclass(frozen=True)
class OnnxLoweringRequest(LoweringRequest):
    """The requested lowerings, and what the automatic choice goes by.

    profile: where the file must be correct, one of PROFILES. expect: the shapes that entry points
    are expected to be called with. Raise InputError for shapes that decide nothing.
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
    if options["opset"] not in IR_VERSIONS:
        least, most = min(IR_VERSIONS), max(IR_VERSIONS)
        raise InputError(
            "E-EXPORT-OPSET",
            f"--opset {options['opset']}: expected a number from {least} to {most}",
        )


FORMAT = Format(
    name="onnx",
    title="ONNX",
    writer="rnn_deploy.onnx.files",
    packages=("tf2onnx", "onnx", "onnx_ir"),
    by_default=True,
    options=(
        FormatOption(
            "lowering", AUTO, lowering_help("ONNX", LOWERINGS), many=True, metavar="[LAYER=]NAME"
        ),
        FormatOption(
            "profile",
            ORT,
            "Where the ONNX file must be correct: ONNX Runtime, OpenVINO, or every runtime tried.",
            choices=PROFILES,
        ),
        FormatOption(
            "expect",
            (),
            f"A shape that the model will be called with, by which {AUTO} chooses; may be repeated."
            " By default 1x100, 32x100 and stream=1x1.",
            many=True,
            metavar="[ENTRY=]BATCHxTIME",
        ),
        FormatOption(
            "opset",
            OPSET,
            f"ONNX opset, {min(IR_VERSIONS)} to {max(IR_VERSIONS)}.",
            metavar="N",
            saved_models=True,
        ),
        FormatOption(
            "test_data",
            False,
            "Also write the golden vectors as ONNX test data (test_data_set_N).",
            saved_models=True,
        ),
    ),
    check=_check,
    saved_models=True,
)
