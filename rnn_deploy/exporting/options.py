"""What can be asked of an export, and which wishes contradict each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rnn_deploy.errors import InputError
from rnn_deploy.onnx.choice import AUTO, OnnxLoweringRequest, wishes
from rnn_deploy.onnx.expected import asked_from
from rnn_deploy.onnx.metadata import check_opset
from rnn_deploy.onnx.targets import ORT
from rnn_deploy.onnx.tf2onnx_graph import OPSET
from rnn_deploy.spec import Array
from rnn_deploy.tflite.choice import TfliteLoweringRequest, tflite_wishes
from rnn_deploy.tflite.quantise.quantise import INT8, MODES, NONE

FORMATS = ("onnx", "tflite")
MICRO = "tflite-micro"  # a target with a format of its own
# The stream entry point takes and returns them; or there is none, and each call starts from zero;
# or from the states that the model holds, which are written into the file.
STATES = ("input", "reset", "keep")


@dataclass(frozen=True)
class ExportOptions:
    """How to export.

    to: formats. lowering: of ONNX, "auto" or one of `choice.ONNX_LOWERINGS`, or one by layer's
    name ("*": of all others). target: of ONNX, one of `targets.TARGETS`. time: fix the number of
    steps of the sequence entry point. samples: real inputs by name, kept as a golden vector.
    seed: of the made-up ones. trust_source: let a file run code of its own. state: what becomes
    of states, one of STATES. opset: of ONNX. expect: shapes that decide `auto`, as
    `expected.asked_from` reads them. long: steps of the longest golden vector, 0: none;
    None, as many as the model's size allows.
    test_data: write golden vectors as ONNX test data too; None, where they are small.
    tflite_lowering: as `lowering`, of TFLite, one of `tflite_choice.TFLITE_LOWERINGS`. quantize: of
    TFLite, one of `quantisation.MODES`. calibration: real inputs by name, for the ranges of int8
    and for the cost of any mode.
    """

    to: tuple[str, ...] = FORMATS
    lowering: str | Mapping[str, str] = AUTO
    time: int | None = None
    samples: Mapping[str, Array] | None = field(default=None, repr=False)
    seed: int = 0
    trust_source: bool = False
    target: str = ORT
    state: str = "input"
    opset: int = OPSET
    expect: tuple[str, ...] = ()
    long: int | None = None
    test_data: bool | None = None
    tflite_lowering: str | Mapping[str, str] = AUTO
    quantize: str = NONE
    calibration: Mapping[str, Array] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        unknown = [name for name in self.to if name not in FORMATS]
        if unknown or not self.to:
            raise InputError(f"unknown format {unknown or 'none'}; there are {', '.join(FORMATS)}")
        check_opset(self.opset)
        if self.micro:
            self._check_micro()
        for option, given in (
            (f"--target {self.target}", self.wishes.target != ORT),
            (f"--opset {self.opset}", self.opset != OPSET),
            ("--expect", bool(self.expect)),
            ("--test-data", self.test_data is True),
        ):
            if given and "onnx" not in self.to:
                raise InputError(f"{option} is of ONNX, which is not exported here; leave it out")
        if self.tflite_wishes != TfliteLoweringRequest() and "tflite" not in self.to:
            raise InputError("--tflite-lowering: TFLite is not exported here; leave it out")
        self._check_quantisation()
        if self.state not in STATES:
            raise InputError(f"no --state '{self.state}'; there are {', '.join(STATES)}")
        if self.time is not None and self.time < 1:
            raise InputError(f"--time {self.time}: a sequence has at least one step")
        if self.long is not None and self.long < 0:
            raise InputError(f"--long {self.long}: give a number of steps, or 0 for none")

    def _check_micro(self) -> None:
        if self.to != FORMATS:
            raise InputError(f"--target {MICRO} is a format of its own; leave --to out")
        given = (self.lowering or AUTO, self.opset, self.expect)
        if given != (AUTO, OPSET, ()):
            raise InputError(
                f"--target {MICRO}: --lowering, --opset and --expect are of ONNX; leave them out"
            )
        if self.quantize not in (NONE, INT8):
            raise InputError(
                f"--target {MICRO} --quantize {self.quantize}: TFLite-Micro computes in float32 or"
                " in int8 alone; use --quantize int8 with --calibration DATA.npz, or none"
            )

    def _check_quantisation(self) -> None:
        if self.quantize not in MODES:
            raise InputError(f"no --quantize '{self.quantize}'; there are {', '.join(MODES)}")
        if self.quantize == NONE:
            if self.calibration is not None:
                raise InputError("--calibration: nothing is quantised here; add --quantize int8")
            return
        if "tflite" not in self.to:
            raise InputError("--quantize is of TFLite, which is not exported here; leave it out")
        if self.quantize == INT8 and self.calibration is None:
            raise InputError(
                "--quantize int8 takes the ranges of activations from real inputs; add"
                " --calibration DATA.npz, or use dynamic-int8, which needs none"
            )

    @property
    def wishes(self) -> OnnxLoweringRequest:
        """How layers are to be lowered in ONNX."""
        target = ORT if self.micro else self.target
        return wishes(self.lowering, target, asked_from(self.expect))

    @property
    def micro(self) -> bool:
        """Whether it is for microcontrollers, which takes the place of all formats."""
        return self.target == MICRO

    @property
    def tflite_wishes(self) -> TfliteLoweringRequest:
        """How layers are to be lowered in TFLite."""
        return tflite_wishes(self.tflite_lowering)
