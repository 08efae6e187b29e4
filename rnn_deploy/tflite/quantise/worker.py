"""Quantise one TFLite file, as a process of its own: what a crash of native code cannot pass.

    python -P worker.py MODE FOLDER

Reads model.tflite and, for "int8", feeds.npz (SIGNATURE/NUMBER/INPUT) in FOLDER, writes
quantised.tflite there. The work is ai-edge-quantizer's. Nothing of this package is imported, so
TensorFlow is not either.

float16       weights in float16, each turned back into float32 once, before it is used
dynamic-int8  weights in int8, one scale per output channel; activations quantised as they come
int8          activations too, each tensor with the range it had on the feeds
"""

import contextlib
import logging
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
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
Feeds = dict[str, list[dict[str, Any]]]


def quantise(content: bytes, mode: str, folder: Path) -> bytes:
    """The model quantised; names of tensors must differ from each other throughout."""
    work = {"float16": _float16, "dynamic-int8": _dynamic, "int8": _static}[mode]
    return bytes(work(content, folder).quantized_model)


def _float16(content: bytes, _: Path) -> Any:
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


def _dynamic(content: bytes, _: Path) -> Any:
    return quantizer.Quantizer(content, recipe.dynamic_wi8_afp32()).quantize()


def _static(content: bytes, folder: Path) -> Any:
    work = quantizer.Quantizer(content, recipe.static_wi8_ai8())
    for name in NOT_QUANTISED:
        work.update_quantization_recipe(
            regex=".*",
            operation_name=qtyping.TFLOperationName(name),
            algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE,
        )
    return work.quantize(_ranges(content, read_feeds(folder / "feeds.npz")))


def _ranges(content: bytes, feeds: Feeds) -> dict[str, Any]:
    """The least and greatest value of every tensor that the feeds reach, by name."""
    work = calibrator.Calibrator(
        content,
        num_threads=1,
        # The other mode sees nothing inside loops but their last turn.
        mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,
        # Its default is a moving average, which forgets what states grow to.
        qsv_update_func=qsv_utils.min_max_update,
    )
    work.calibrate(feeds, recipe_manager.RecipeManager())
    ranges: dict[str, Any] = work.get_model_qsvs()
    return ranges


def read_feeds(place: Path) -> Feeds:
    """What to run by signature."""
    feeds: dict[str, dict[str, dict[str, Any]]] = defaultdict(lambda: defaultdict(dict))
    with np.load(place, allow_pickle=False) as file:
        for key in file.files:
            signature, number, name = key.split("/", 2)
            feeds[signature][number][name] = file[key]
    return {signature: list(by_number.values()) for signature, by_number in feeds.items()}


def main(mode: str, folder: Path) -> None:
    """Read, quantise, write."""
    logging.getLogger().setLevel(logging.ERROR)
    with contextlib.redirect_stdout(sys.stderr):  # the quantiser prints sizes
        content = quantise((folder / "model.tflite").read_bytes(), mode, folder)
    (folder / "quantised.tflite").write_bytes(content)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
