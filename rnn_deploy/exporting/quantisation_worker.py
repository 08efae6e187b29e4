"""Quantise one TFLite file, as a process of its own: what a crash of native code cannot pass.

    python -P quantisation_worker.py MODE FOLDER

Reads model.tflite and, for "int8", calibration.npz (SIGNATURE/NUMBER/INPUT) in FOLDER, writes
quantised.tflite there. The work is ai-edge-quantizer's; nothing of this package is imported, so
TensorFlow is not either.

float16       weights in float16, each turned back into float32 once, before it is used
dynamic-int8  weights in int8, one scale per output channel; activations quantised as they come
int8          activations too, each tensor with the range it had on the calibration data
"""

import contextlib
import logging
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_quantizer import algorithm_manager, calibrator, qtyping, quantizer, recipe

# Whole sequences pass through these in a loop's body; quantising them at every step would make
# the cost grow with the square of the length. Inputs and outputs stay float32.
NOT_QUANTISED = ("INPUT", "OUTPUT", "GATHER", "DYNAMIC_UPDATE_SLICE")
Samples = dict[str, list[dict[str, Any]]]


def quantise(content: bytes, mode: str, samples: Samples) -> bytes:
    """The model quantised; names of tensors must differ from each other throughout."""
    work = {"float16": _float16, "dynamic-int8": _dynamic, "int8": _static}[mode]
    return bytes(work(content, samples).quantized_model)


def _float16(content: bytes, _: Samples) -> Any:
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


def _dynamic(content: bytes, _: Samples) -> Any:
    return quantizer.Quantizer(content, recipe.dynamic_wi8_afp32()).quantize()


def _static(content: bytes, samples: Samples) -> Any:
    work = quantizer.Quantizer(content, recipe.static_wi8_ai8())
    for name in NOT_QUANTISED:
        work.update_quantization_recipe(
            regex=".*",
            operation_name=qtyping.TFLOperationName(name),
            algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE,
        )
    # The other mode sees nothing inside loops but their last step.
    mode = calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED
    return work.quantize(work.calibrate(samples, num_threads=1, mode=mode))


def read_samples(place: Path) -> Samples:
    """The calibration feeds by signature."""
    samples: dict[str, dict[str, dict[str, Any]]] = defaultdict(lambda: defaultdict(dict))
    with np.load(place, allow_pickle=False) as file:
        for key in file.files:
            signature, number, name = key.split("/", 2)
            samples[signature][number][name] = file[key]
    return {signature: list(by_number.values()) for signature, by_number in samples.items()}


def main(mode: str, folder: Path) -> None:
    """Read, quantise, write."""
    logging.getLogger().setLevel(logging.ERROR)
    samples = read_samples(folder / "calibration.npz") if mode == "int8" else {}
    with contextlib.redirect_stdout(sys.stderr):  # the quantiser prints sizes
        content = quantise((folder / "model.tflite").read_bytes(), mode, samples)
    (folder / "quantised.tflite").write_bytes(content)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
