"""The format "tflite-micro": its description."""

from rnn_deploy.formats.base import Format, PlanConstraints
from rnn_deploy.tflite.format import (
    IO_OPTION,
    LOWERING_OPTION,
    WHY_NO_SAVED_MODEL,
    WITH_RANGES,
    check,
)

NAME = "tflite-micro"


FORMAT = Format(
    name=NAME,
    title="TFLite-Micro",
    writer="rnn_deploy.tflite.micro.files",
    packages=("tflite_micro",),
    options=(LOWERING_OPTION, IO_OPTION),
    check=check,
    constraints=PlanConstraints(batch=1, fixed_shapes=True, single_steps=True),
    quantize=WITH_RANGES,
    quantize_packages=("ai_edge_quantizer",),
    why_no_saved_model=WHY_NO_SAVED_MODEL,
)
