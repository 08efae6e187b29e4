"""The format "tflite-micro": its description."""

from rnn_deploy.formats.base import Format, PlanConstraints
from rnn_deploy.formats.options import ExportOptions
from rnn_deploy.tflite.format import (
    IO_OPTION,
    LOWERING_OPTION,
    WHY_NO_SAVED_MODEL,
    WITH_RANGES,
    check,
)
from rnn_deploy.tflite.micro.budget import OPTION, budget_of

NAME = "tflite-micro"


def _check(options: ExportOptions) -> None:
    check(options)
    budget_of(options[OPTION.name])


FORMAT = Format(
    name=NAME,
    title="TFLite-Micro",
    writer="rnn_deploy.tflite.micro.files",
    packages=("tflite_micro",),
    options=(LOWERING_OPTION, IO_OPTION, OPTION),
    check=_check,
    constraints=PlanConstraints(batch=1, fixed_shapes=True, single_steps=True),
    quantize=WITH_RANGES,
    quantize_packages=("ai_edge_quantizer",),
    why_no_saved_model=WHY_NO_SAVED_MODEL,
)
