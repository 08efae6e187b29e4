"""Quantise one TFLite file with ai-edge-quantizer.

Runs in a worker process, so that a crash of native code is an error. Imports nothing of this
package, whose Keras side would bring TensorFlow with it.

float16       weights in float16, each turned back into float32 once, before it is used
dynamic-int8  weights in int8, one scale per output channel; activations quantised as they come
int8          activations too, each tensor with the range it had on the feeds
int16x8       weights in int8, activations in int16
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ai_edge_quantizer import (
    algorithm_manager,
    calibrator,
    qtyping,
    quantizer,
    recipe,
    recipe_manager,
)
from ai_edge_quantizer.utils import qsv_utils

# Whole sequences pass through these in a loop's body; quantising them at every step would make
# the cost grow with the square of the length. Inputs and outputs stay float32.
NOT_QUANTISED = ("INPUT", "OUTPUT", "GATHER", "DYNAMIC_UPDATE_SLICE")
# Values up to twice those of the calibration data are not cut off in int16x8: it costs one bit of
# sixteen, which is below the error of the int8 weights.
ROOM = 2.0
Feeds = Mapping[str, Sequence[Mapping[str, Any]]]


def quantise(content: bytes, mode: str, feeds: Feeds) -> bytes:
    """Return the quantised model; every tensor must have a name of its own.

    feeds: by signature the inputs that set the ranges of activations, for "int8" and "int16x8".
    """
    logging.getLogger().setLevel(logging.ERROR)
    work = {"float16": _float16, "dynamic-int8": _dynamic, "int8": _static, "int16x8": _static_16}[
        mode
    ]
    return bytes(work(content, feeds).quantized_model)


def _float16(content: bytes, _: Feeds) -> Any:
    names = algorithm_manager.AlgorithmName
    work = quantizer.Quantizer(content)
    work.update_quantization_recipe(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(
                num_bits=16, dtype=qtyping.TensorDataType.FLOAT
            ),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        algorithm_key=names.FLOAT_CASTING,
    )
    return work.quantize()


def _dynamic(content: bytes, _: Feeds) -> Any:
    return quantizer.Quantizer(content, recipe.dynamic_wi8_afp32()).quantize()


def _static(content: bytes, feeds: Feeds) -> Any:
    return _with_ranges(content, recipe.static_wi8_ai8(), _ranges(content, feeds))


def _static_16(content: bytes, feeds: Feeds) -> Any:
    ranges = _ranges(content, feeds)
    wide = {
        tensor: {key: ROOM * value if key in ("min", "max") else value for key, value in r.items()}
        for tensor, r in ranges.items()
    }
    return _with_ranges(content, recipe.static_wi8_ai16(), wide)


def _with_ranges(content: bytes, rules: Any, ranges: dict[str, Any]) -> Any:
    work = quantizer.Quantizer(content, rules)
    for name in NOT_QUANTISED:
        work.update_quantization_recipe(
            regex=".*",
            operation_name=qtyping.TFLOperationName(name),
            algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE,
        )
    return work.quantize(ranges)


def _ranges(content: bytes, feeds: Feeds) -> dict[str, Any]:
    """Return the smallest and largest value of every tensor in these runs, by name."""
    work = calibrator.Calibrator(
        content,
        num_threads=1,
        # The other mode sees only the last turn of a loop.
        mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,
        # The default is a moving average, which forgets the largest states.
        qsv_update_func=qsv_utils.min_max_update,
    )
    work.calibrate(feeds, recipe_manager.RecipeManager())
    ranges: dict[str, Any] = work.get_model_qsvs()
    return ranges
